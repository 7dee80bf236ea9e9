"""Tables of unit metrics: one row per unit, per layer, and per unit and image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.functional import Estimate, member_share, unit_mem_gap


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


class HoldoutEstimates(NamedTuple):
    """How units prefer members to non-members, with one entry per layer.

    Attributes:
        member_share: Share of live units whose winning image is a member.
        gap: Mean UnitMem on members minus that on equally many non-members.
    """

    member_share: Estimate
    gap: Estimate


def holdout_estimates(
    counts: Mapping[str, NDArray[Any]], sizes: Sequence[int], seed: int
) -> HoldoutEstimates:
    """Estimate member share and UnitMem gap of each layer.

    Args:
        counts: Counts of :class:`lightly_memloc.metrics.MemberShare`.
        sizes: Number of units of each layer.
        seed: Random seed of the resamples and the permutations.

    Returns:
        Both estimates; NaN for a layer without live units.
    """
    is_member = counts["member"].reshape(-1)
    wins = counts["wins"].reshape(len(is_member), len(sizes))
    edges = np.cumsum(sizes)[:-1]
    gaps = [
        unit_mem_gap(largest, total, counts["count"])
        for largest, total in zip(
            np.split(counts["largest"], edges, axis=2),
            np.split(counts["total"], edges, axis=2),
            strict=True,
        )
    ]
    return HoldoutEstimates(
        member_share(wins, is_member, seed=seed), Estimate.joined(gaps)
    )


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
    values: Mapping[str, NDArray[Any]],
    winners: Sequence[tuple[int, str]],
    rectified: Sequence[bool],
    against_holdout: HoldoutEstimates | None = None,
) -> dict[str, pd.DataFrame]:
    """Make the tables of UnitMem, by layer and by unit.

    Args:
        layers: The layers.
        values: ``unit_mem``, ``mu_max``, ``mu_rest`` and ``dead`` of shape ``(U,)``,
            the units of all layers side by side.
        winners: Index and file name of each unit's winning image.
        rectified: Whether each layer was rectified.
        against_holdout: Member share and gap of each layer, if there is a holdout.
    """
    columns = ("unit_mem", "mu_max", "mu_rest", "dead")
    units = unit_table(layers, **{name: values[name] for name in columns})
    indices, filenames = zip(*winners, strict=True)
    units.insert(5, "index", indices)
    units.insert(6, "filename", filenames)
    unknown = Estimate.unknown(len(layers))
    without = replace(unknown, null_low=unknown.low, null_high=unknown.high)
    estimates = against_holdout or HoldoutEstimates(without, unknown)
    by_layer = layer_table(
        layers,
        units,
        "unit_mem",
        **estimates.member_share.columns("member_share"),
        **estimates.gap.columns("gap"),
        rectified=rectified,
    )
    return {"layers": by_layer, "units": units}


def top_images_table(
    units: pd.DataFrame, top: Mapping[str, NDArray[Any]]
) -> pd.DataFrame:
    """Make a table with one row per live unit and image that activates it most.

    Args:
        units: The units, as :func:`unit_mem_tables` gives them.
        top: ``image``, the indices of the images, the most activating first, and
            ``activation``, the units' activations on them, of shape ``(k, U)``.
    """
    live = units[~units["dead"]]
    k, positions = len(top["image"]), live.index.to_numpy()
    rows = live.loc[live.index.repeat(k), ["layer", "unit"]].reset_index(drop=True)
    return rows.assign(
        rank=np.tile(np.arange(1, k + 1), len(live)),
        index=top["image"][:, positions].T.ravel(),
        mu=top["activation"][:, positions].T.ravel(),
    )
