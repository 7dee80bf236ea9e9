"""Tables of unit metrics: one row per unit, per layer, and per unit and image."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.functional import Estimate


class UnitLayer(Protocol):
    """A layer whose units are measured."""

    @property
    def name(self) -> str:
        """Name of the module."""

    @property
    def kind(self) -> str:
        """Kind of the layer."""

    @property
    def num_units(self) -> int:
        """Number of units."""


def unit_table(
    layers: Sequence[UnitLayer], **columns: NDArray[np.generic]
) -> pd.DataFrame:
    """Make a table with one row per unit.

    Args:
        layers: The layers.
        columns: Values of shape ``(U,)``, the units of all layers side by side.
    """
    sizes = [layer.num_units for layer in layers]
    table = pd.DataFrame(
        {
            "layer": np.repeat([layer.name for layer in layers], sizes),
            "unit": np.concatenate([np.arange(size) for size in sizes]),
        }
    )
    return table.assign(**columns)


def layer_table(
    layers: Sequence[UnitLayer], units: pd.DataFrame, metric: str, **columns: Any
) -> pd.DataFrame:
    """Make a table with one row per layer: mean and median over its live units.

    Args:
        layers: The layers.
        units: Their units.
        metric: The column of units to average.
        columns: More columns, with an entry for each layer.
    """
    by_layer = units.groupby("layer", sort=False)
    alive = units[metric].mask(units["dead"]).groupby(units["layer"], sort=False)
    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "kind": [layer.kind for layer in layers],
            "units": by_layer.size().to_numpy(),
            "dead": by_layer["dead"].sum().to_numpy(),
            "mean": alive.mean().to_numpy(),
            "median": alive.median().to_numpy(),
        }
    )
    return table.assign(**columns)


def unit_mem_tables(
    layers: Sequence[UnitLayer],
    winners: Sequence[tuple[int, str]],
    rectified: Sequence[bool],
    member_share: Estimate | None = None,
    gap: Estimate | None = None,
    **values: NDArray[np.generic],
) -> dict[str, pd.DataFrame]:
    """Make the tables of UnitMem, by layer and by unit.

    Args:
        layers: The layers.
        winners: Index and file name of each unit's winning image.
        rectified: Whether each layer was rectified.
        member_share: Member share of each layer, if there is a holdout.
        gap: UnitMem gap of each layer, if there is a holdout.
        values: ``unit_mem``, ``mu_max``, ``mu_rest`` and ``dead`` of shape ``(U,)``,
            the units of all layers side by side.
    """
    units = unit_table(layers, **values)
    indices, filenames = zip(*winners, strict=True)
    units.insert(5, "index", indices)
    units.insert(6, "filename", filenames)
    unknown = Estimate.unknown(len(layers))
    without = replace(unknown, null_low=unknown.low, null_high=unknown.high)
    columns = (member_share or without).columns("member_share")
    columns |= (gap or unknown).columns("gap")
    by_layer = layer_table(layers, units, "unit_mem", **columns, rectified=rectified)
    return {"layers": by_layer, "units": units}


def top_images_table(
    units: pd.DataFrame,
    images: NDArray[np.int64],
    activations: NDArray[np.floating[Any]],
) -> pd.DataFrame:
    """Make a table with one row per live unit and image that activates it most.

    Args:
        units: The units, as :func:`unit_mem_tables` gives them.
        images: Indices of the images, the most activating first, shape ``(k, U)``.
        activations: The units' activations on them, same shape.
    """
    live = units[~units["dead"]]
    k, positions = len(images), live.index.to_numpy()
    rows = live.loc[live.index.repeat(k), ["layer", "unit"]].reset_index(drop=True)
    return rows.assign(
        rank=np.tile(np.arange(1, k + 1), len(live)),
        index=images[:, positions].T.ravel(),
        mu=activations[:, positions].T.ravel(),
    )
