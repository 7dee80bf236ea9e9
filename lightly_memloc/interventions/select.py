"""Choosing units to prune, and layers to intervene in, by what they memorise."""

from typing import Literal

import numpy as np
import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import LayerMemResult, UnitMemResult

UnitStrategy = Literal["highest", "lowest", "random"]


def select_units(
    unit_mem: UnitMemResult,
    strategy: UnitStrategy,
    amount: float = 0.1,
    per_layer: bool = True,
    seed: int = 0,
) -> dict[str, list[int]]:
    """Choose live units by their UnitMem.

    Args:
        unit_mem: UnitMem of the units.
        strategy: Those of ``"highest"`` or ``"lowest"`` UnitMem, or ``"random"`` ones.
        amount: How many: a fraction of the live units below 1, or else a number.
        per_layer: Whether so many in each layer, or over the whole encoder.
        seed: Seed of the random ones.

    Returns:
        Numbers of the units by layer, for ``prune_units``.

    Raises:
        MemorizationError: If the strategy is unknown or the amount is not positive or
            exceeds the live units.
    """
    units = unit_mem.to_pandas()
    live = units[~units["dead"]]
    if strategy == "random":
        rank = pd.Series(np.random.default_rng(seed).random(len(live)), live.index)
    elif strategy in ("highest", "lowest"):
        rank = live["unit_mem"] * (1 if strategy == "lowest" else -1)
    else:
        raise MemorizationError(
            f"Unknown strategy {strategy!r}; choose from highest, lowest, random."
        )
    ordered = live.loc[rank.sort_values(kind="stable").index]
    groups = ordered.groupby("layer", sort=False) if per_layer else [("", ordered)]
    chosen = pd.concat(
        of.head(number_of(amount, len(of), _units_of(name))) for name, of in groups
    )
    return {
        str(layer): sorted(of["unit"].astype(int).tolist())
        for layer, of in chosen.groupby("layer", sort=False)
    }


def _units_of(layer: object) -> str:
    return f"live units of layer {layer}" if layer else "live units"


def number_of(amount: float, available: int, what: str) -> int:
    """Settle how many an amount is: a fraction below 1, or else a number.

    Args:
        amount: The amount.
        available: How many there are.
        what: What they are, in words.

    Raises:
        MemorizationError: If it is not positive or exceeds what is available.
    """
    if not 0 < amount <= available:
        raise MemorizationError(
            f"Cannot choose {amount:g} of the {available} {what}: expected a fraction "
            "below 1, or a number of them."
        )
    return round(amount * available) if amount < 1 else int(amount)


def ranked_layers(layer_mem: LayerMemResult) -> list[str]:
    """Layers by what they add to memorisation, the most memorising first.

    By calibrated Delta LayerMem, a layer's calibrated LayerMem minus that of the layer
    before (symmetric LayerMem where there are no external images); the first layer
    counts with its own.

    Args:
        layer_mem: LayerMem of the layers, with a reference encoder.

    Raises:
        MemorizationError: If there is neither estimate.
    """
    layers = layer_mem.to_pandas()
    for name in ("calibrated", "symmetric"):
        if layers[name].notna().all():
            delta = layers[name].diff().fillna(layers[name])
            order = delta.sort_values(ascending=False, kind="stable").index
            return [str(layer) for layer in layers.loc[order, "layer"]]
    raise MemorizationError(
        "Layers are ranked by calibrated or symmetric LayerMem, which needs a reference "
        "encoder and external or independent images."
    )
