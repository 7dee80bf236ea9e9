"""Tables of unit metrics: one row per unit, per layer, and per unit and image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.functional import Estimate, member_share, unit_mem_gap

# A live unit is weak below this share of its layer's median largest activation.
_WEAK = 0.01


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
    counts: Mapping[str, NDArray[Any]],
    sizes: Sequence[int],
    seed: int,
    *,
    reference: Mapping[str, NDArray[Any]] | None = None,
    groups: NDArray[Any] | None = None,
    strata: NDArray[Any] | None = None,
) -> HoldoutEstimates:
    """Estimate member share and UnitMem gap of each layer.

    Args:
        counts: Counts of :class:`lightly_memloc.metrics.MemberShare`.
        sizes: Number of units of each layer.
        seed: Random seed of the permutations.
        reference: Counts of a reference encoder on the same mix. Both estimates are
            then averages over both encoders, with the roles exchanged.
        groups: Group of each image that was seen; groups are permuted as a whole.
        strata: Stratum of each image; membership is permuted within strata.

    Returns:
        Both estimates; NaN for a layer without live units.
    """
    is_member = counts["member"].reshape(-1)
    wins = counts["wins"].reshape(len(is_member), len(sizes))
    share = member_share(
        wins,
        is_member,
        seed=seed,
        reference_wins=None
        if reference is None
        else reference["wins"].reshape(wins.shape),
        groups=groups,
        strata=strata,
    )
    gap = unit_mem_gap(
        counts["largest"],
        counts["total"],
        counts["count"],
        layer_sizes=sizes,
        reference=None
        if reference is None
        else (reference["largest"], reference["total"]),
    )
    return HoldoutEstimates(share, gap)


def matched_share(
    counts: Mapping[str, NDArray[Any]],
    alike: NDArray[np.int64],
    seed: int,
) -> Estimate:
    """Estimate the member share among images that have a counterpart in the other set.

    Membership is permuted among images that are alike. Units that another image
    activates most are left out.

    Args:
        counts: Counts of :class:`lightly_memloc.metrics.MemberShare`.
        alike: Stratum of each image, -1 for images without a counterpart, as
            :func:`~lightly_memloc.functional.matched_strata` gives it.
        seed: Random seed of the permutations.
    """
    is_member, kept = counts["member"].reshape(-1), alike >= 0
    wins = counts["wins"].reshape(len(is_member), -1)
    return member_share(wins[kept], is_member[kept], seed=seed, strata=alike[kept])


def winner_agreement(
    top: Mapping[str, NDArray[Any]], dead: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Tell for each unit whether its winner is the same over both halves of the views.

    Args:
        top: ``image`` and ``activation`` of the winners over either half, with shapes
            of ``2 * U`` entries: the units over the first half, then over the second.
        dead: Whether each unit is dead, shape ``(U,)``.

    Returns:
        Array of shape ``(U,)``: 1 if the image that activates the unit most is the same,
        0 if it is not or a half has no activation; NaN for dead units.
    """
    image, activation = (top[name].reshape(2, -1) for name in ("image", "activation"))
    agrees = (image[0] == image[1]) & (activation != 0).all(axis=0)
    return np.where(dead.reshape(-1), np.nan, agrees)


def weak_units(units: pd.DataFrame) -> "pd.Series[bool]":
    """Tell which live units respond weakly: below 1% of their layer's median ``mu_max``.

    Args:
        units: One row per unit: ``layer``, ``mu_max`` and ``dead``.
    """
    largest = units["mu_max"].abs().mask(units["dead"])
    median = largest.groupby(units["layer"], sort=False).transform("median")
    return largest < _WEAK * median


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
    without_reference: HoldoutEstimates | None = None,
    matched: Estimate | None = None,
) -> dict[str, pd.DataFrame]:
    """Make the tables of UnitMem, by layer and by unit.

    Args:
        layers: The layers.
        values: ``unit_mem``, ``mu_max``, ``mu_rest`` and ``dead`` of shape ``(U,)``,
            the units of all layers side by side; ``null`` and ``agreement`` if they
            were measured.
        winners: Index and file name of each unit's winning image.
        rectified: Whether each layer was rectified.
        against_holdout: Member share and gap of each layer, if there is a holdout.
        without_reference: Those of the encoder alone, if there is a reference encoder.
        matched: The member share among images that are alike, if they were matched.
    """
    columns = ("unit_mem", "mu_max", "mu_rest", "dead")
    units = unit_table(layers, **{name: values[name] for name in columns})
    indices, filenames = zip(*winners, strict=True)
    units.insert(5, "index", indices)
    units.insert(6, "filename", filenames)
    live = ~units["dead"].to_numpy()
    unknown = np.full(len(units), np.nan)
    units["agreement"] = values.get("agreement", unknown)
    units["weak"] = weak_units(units)
    of_layer = [units["layer"].to_numpy()]
    null = pd.Series(values.get("null", unknown)).where(live)
    own = without_reference
    by_layer = layer_table(
        layers,
        units,
        "unit_mem",
        null=null.groupby(of_layer, sort=False).mean().to_numpy(),
        agreement=units.groupby("layer", sort=False)["agreement"].mean().to_numpy(),
        weak=units.groupby("layer", sort=False)["weak"].sum().to_numpy(),
        **_columns(against_holdout or _unknown(len(layers))),
        **({} if own is None else _columns(own, "_f")),
        **({} if matched is None else matched.columns("matched_share")),
        rectified=rectified,
    )
    return {"layers": by_layer, "units": units}


def _unknown(n_layers: int) -> HoldoutEstimates:
    unknown = Estimate.unknown(n_layers)
    unknown = replace(unknown, p_adjusted=unknown.p)
    share = replace(unknown, null_low=unknown.low, null_high=unknown.high)
    return HoldoutEstimates(share, unknown)


def _columns(estimates: HoldoutEstimates, suffix: str = "") -> dict[str, Any]:
    return estimates.member_share.columns(
        f"member_share{suffix}"
    ) | estimates.gap.columns(f"gap{suffix}")


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
