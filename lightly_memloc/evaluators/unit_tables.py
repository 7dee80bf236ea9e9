"""Tables of unit metrics: a row a unit, and a row a layer."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from lightly_memloc.functional import (
    Estimate,
    MemberShareEstimate,
    member_share,
    unit_mem_gap,
)
from lightly_memloc.layers import CapturedLayer
from lightly_memloc.results import estimate_columns


class HoldoutEstimates(NamedTuple):
    """How units prefer members to non-members, with one entry per layer.

    Attributes:
        member_share: Share of live units whose winning image is a member.
        gap: Mean UnitMem on members minus that on equally many non-members.
    """

    member_share: MemberShareEstimate
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
        member_share(wins, is_member, seed=seed),
        Estimate(*(np.concatenate(field) for field in zip(*gaps, strict=True))),
    )


def unit_table(layers: Sequence[CapturedLayer], **columns: Tensor) -> pd.DataFrame:
    """A row a unit.

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
    for name, values in columns.items():
        table[name] = values.cpu().numpy()
    return table


def layer_table(
    layers: Sequence[CapturedLayer], units: pd.DataFrame, metric: str, **columns: Any
) -> pd.DataFrame:
    """A row a layer: its units, the dead ones, mean and median over live ones.

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
    layers: Sequence[CapturedLayer],
    values: Mapping[str, Tensor],
    winners: Sequence[tuple[int, str]],
    rectified: Sequence[bool],
    against_holdout: HoldoutEstimates | None = None,
) -> dict[str, pd.DataFrame]:
    """The tables of a result of UnitMem.

    Args:
        layers: The layers.
        values: UnitMem, the units of all layers side by side.
        winners: Index and file name of each unit's winning image.
        rectified: Whether each layer was rectified.
        against_holdout: Member share and gap of each layer, if there is a holdout.
    """
    units = unit_table(
        layers,
        unit_mem=values["unit_mem"],
        mu_max=values["mu_max"],
        mu_rest=values["mu_rest"],
        dead=values["dead"],
    )
    indices, filenames = zip(*winners, strict=True)
    units.insert(5, "index", indices)
    units.insert(6, "filename", filenames)
    unknown = np.full(len(layers), np.nan)
    estimates = against_holdout or HoldoutEstimates(
        MemberShareEstimate(*(unknown for _ in MemberShareEstimate._fields)),
        Estimate(*(unknown for _ in Estimate._fields)),
    )
    columns = estimate_columns("member_share", estimates.member_share)
    columns |= estimate_columns("gap", estimates.gap)
    by_layer = layer_table(layers, units, "unit_mem", **columns, rectified=rectified)
    return {"layers": by_layer, "units": units}


def top_images_table(units: pd.DataFrame, top: Mapping[str, Tensor]) -> pd.DataFrame:
    """A row a live unit and image that activates it most.

    Args:
        units: The units, as :func:`unit_mem_tables` gives them.
        top: The images, the units of all layers side by side.
    """
    live = units[~units["dead"]]
    k, positions = len(top["image"]), live.index.to_numpy()
    rows = live.loc[live.index.repeat(k), ["layer", "unit"]].reset_index(drop=True)
    return rows.assign(
        rank=np.tile(np.arange(1, k + 1), len(live)),
        index=top["image"].cpu().numpy()[:, positions].T.ravel(),
        mu=top["activation"].cpu().numpy()[:, positions].T.ravel(),
    )
