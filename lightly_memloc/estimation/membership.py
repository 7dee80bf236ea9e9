"""Membership inference from alignment."""

import numpy as np
import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import membership, non_members_needed
from lightly_memloc.results import LayerMemResult, MembershipResult

_FALSE_POSITIVES = 0.01


def infer_membership(result: LayerMemResult) -> MembershipResult:
    """Infer membership from the alignment of a LayerMem measurement.

    Two scores are tried in each layer: the encoder's own alignment, which needs no
    other encoder, and SSLMem, which needs a reference encoder that was not trained
    on the candidates. Adjusted p-values allow for the layers of both.

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
    if result.settings["reference"]:
        scores["ssl_mem"] = samples[names].to_numpy()
    # Together, so that p is adjusted for the layers of both scores.
    values = np.concatenate(list(scores.values()), axis=1)
    separated = membership(
        values[is_member],
        values[is_external],
        false_positives=_FALSE_POSITIVES if resolved else None,
        n_resamples=result.settings.get("n_resamples", 2000),
        seed=result.settings.get("seed", 0),
        groups=groups,
        strata=strata,
    )
    table = pd.concat([layers.assign(score=score) for score in scores])
    columns = separated.auc.columns("auc") | separated.tpr.columns("tpr")
    images = {"candidate": int(is_member.sum()), "external": found}
    counted = "external images" if groups is None else "groups of external images"
    note = (
        f"The true positive rate at {_FALSE_POSITIVES:.0%} false positives needs at "
        f"least {needed} {counted}, but there are {independent}. Only the AUC is given."
    )
    return MembershipResult(
        {
            "images": images,
            "false_positives": _FALSE_POSITIVES,
            "notes": [] if resolved else [note],
            "skipped": [],
        },
        {"layers": table.reset_index(drop=True).assign(**columns)},
    )
