"""Membership inference from alignment."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation.covariates import Covariates
from lightly_memloc.functional import (
    conformal_p,
    membership,
    non_members_needed,
    q_values,
    residual_scores,
)
from lightly_memloc.results import LayerMemResult, MembershipResult

Array = NDArray[np.float64]

_FALSE_POSITIVES = 0.01


def infer_membership(result: LayerMemResult) -> MembershipResult:
    """Infer membership from the alignment of a LayerMem measurement.

    Up to three scores are tried in each layer: the encoder's own alignment, which needs
    no other encoder; the adjusted alignment, which allows for the covariates that were
    measured (:func:`~lightly_memloc.functional.residual_scores`); and SSLMem, which
    needs a reference encoder that was not trained on the candidates. Adjusted p-values
    allow for the layers of all scores.

    Each candidate is scored by its mean adjusted alignment over the last third of the
    layers. Its p-value is conformal
    (:func:`~lightly_memloc.functional.conformal_p`): how often external images score as
    high.

    The true positive rate at 1% false positives needs at least 99 external images, or
    99 groups of them. With fewer, it is NaN, a note says how many are needed, and the
    AUC is computed alone. Groups of images are permuted as a whole, within strata,
    where the measurement's images have a ``group`` or ``stratum``.

    Args:
        result: The measurement, with at least two external images.

    Raises:
        MemorizationError: If it lacks external images.
    """
    layers = result.to_pandas()[["layer", "kind"]]
    distances, samples = result.distances_to_pandas(), result.samples_to_pandas()
    is_member = (samples["role"] == "candidate").to_numpy()
    is_external = (samples["role"] == "external").to_numpy()
    if is_external.sum() < 2:
        raise MemorizationError(
            "Membership is inferred against external images, which no encoder was "
            f"trained on: the measurement has {is_external.sum()}."
        )
    needed, found = non_members_needed(_FALSE_POSITIVES), int(is_external.sum())
    order = np.concatenate([np.flatnonzero(is_member), np.flatnonzero(is_external)])
    groups, strata = (
        samples[name].to_numpy()[order] if name in samples else None
        for name in ("group", "stratum")
    )
    independent = found if groups is None else len(np.unique(groups[-found:]))
    resolved = independent >= needed
    names = layers["layer"].tolist()
    scores = {"alignment": -distances[[f"f:{name}" for name in names]].to_numpy()}
    adjusted = _residual_scores(result, order, int(is_member.sum()), groups)
    if adjusted is not None:
        scores["adjusted_alignment"] = np.full(scores["alignment"].shape, np.nan)
        scores["adjusted_alignment"][order] = adjusted
    if result.settings["reference"]:
        scores["ssl_mem"] = samples[names].to_numpy()
    # Together, so that p is adjusted for the layers of all scores.
    values = np.concatenate(list(scores.values()), axis=1)
    separation = partial(
        membership,
        false_positives=_FALSE_POSITIVES if resolved else None,
        n_resamples=result.settings.get("n_resamples", 2000),
        seed=result.settings.get("seed", 0),
        groups=groups,
        strata=strata,
    )
    separated = separation(values[is_member], values[is_external])
    table = pd.concat([layers.assign(score=score) for score in scores])
    columns = separated.auc.columns("auc") | separated.tpr.columns("tpr")
    tables = {"layers": table.reset_index(drop=True).assign(**columns)}
    settings: dict[str, Any] = {"blind": result.settings.get("blind")}
    if adjusted is not None:
        overall = adjusted[:, -_last_third(len(names)) :].mean(axis=1)
        of_members, of_external = overall[:-found], overall[-found:]
        auc, tpr = (
            of.columns(name)
            for of, name in zip(
                separation(of_members, of_external), ("auc", "tpr"), strict=True
            )
        )
        settings["overall"] = {
            name: float(value[0]) for name, value in (auc | tpr).items()
        }
        p = conformal_p(
            of_members, of_external, None if groups is None else groups[-found:]
        )
        listed = samples[["index", "filename"]][is_member].assign(
            score=of_members, p=p, q=q_values(p)
        )
        tables["samples"] = listed.sort_values(
            ["score", "index"], ascending=[False, True], ignore_index=True
        )
    images = {"candidate": int(is_member.sum()), "external": found}
    counted = "external images" if groups is None else "groups of external images"
    note = (
        f"The true positive rate at {_FALSE_POSITIVES:.0%} false positives needs at "
        f"least {needed} {counted}, but there are {independent}. Only the AUC is given."
    )
    return MembershipResult(
        {
            **settings,
            "images": images,
            "false_positives": _FALSE_POSITIVES,
            "notes": [] if resolved else [note],
            "skipped": [],
            **result.belongs_to(),
        },
        tables,
    )


def _residual_scores(
    result: LayerMemResult, order: NDArray[np.int64], n_members: int, groups: Any
) -> Array | None:
    """Adjusted alignment of members and external images, in this order."""
    covariates = Covariates.of_result(result)
    if covariates is None or not result.has("adjusted_gap"):
        return None
    names = [f"f:{name}" for name in result.to_pandas()["layer"]]
    distances = result.distances_to_pandas()[names].to_numpy()[order]
    of_sets = residual_scores(
        distances[:n_members],
        distances[n_members:],
        covariates.by_layer(order),
        groups,
    )
    return np.concatenate(of_sets)


def _last_third(n_layers: int) -> int:
    """Number of layers whose mean scores an image."""
    return max(1, n_layers // 3)
