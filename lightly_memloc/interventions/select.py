"""Selecting units and layers by how much they memorise."""

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
    """Select live units by their UnitMem.

    Args:
        unit_mem: UnitMem of the units.
        strategy: Whether to select units with the ``"highest"`` or ``"lowest"``
            UnitMem, or ``"random"`` units.
        amount: Number of units, or a fraction of the live units if below 1.
        per_layer: Whether the amount applies to each layer or across the encoder.
        seed: Random seed of the ``"random"`` strategy.

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
    """Convert an amount to a number.

    Args:
        amount: A number, or a fraction of those available if below 1.
        available: The number available.
        what: What is counted, for the error message.

    Returns:
        The number; a fraction is rounded, possibly to 0.

    Raises:
        MemorizationError: If the amount is not positive or exceeds what is available.
    """
    if not 0 < amount <= available or (amount > 1 and amount % 1):
        raise MemorizationError(
            f"Cannot select {amount:g} of the {available} {what}: expected a fraction "
            f"between 0 and 1, or a whole number up to {available}."
        )
    return round(amount * available) if amount < 1 else int(amount)


def ranked_layers(layer_mem: LayerMemResult) -> list[str]:
    """Rank layers by how much they add to memorisation, highest first.

    Layers are ranked by calibrated Delta LayerMem: a layer's calibrated LayerMem minus
    that of the previous layer. The first layer is ranked by its own value. Without
    external images, symmetric LayerMem replaces calibrated LayerMem.

    Args:
        layer_mem: LayerMem of the layers, with a reference encoder.

    Returns:
        Names of the layers.

    Raises:
        MemorizationError: If both estimates are missing.
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
