"""Members and held-out images that are alike, where the two sets differ in kind."""

from dataclasses import replace

import numpy as np

from lightly_memloc.estimation.covariates import ENOUGH, Covariates
from lightly_memloc.estimation.readings import Readings

_TOO_FEW = (
    "Only {} members have a counterpart among the held-out images: too few to match the "
    "two sets, which were left as they are."
)
_LEFT_OUT = (
    "Members and held-out images were matched: {} of {} members and {} of {} held-out "
    "images have a counterpart, and only these were compared."
)


def matched_readings(readings: Readings) -> tuple[Readings, str]:
    """Set aside the members and held-out images that have no counterpart.

    The counterparts are those of :func:`~lightly_memloc.functional.matched_images`. The
    other images have the role ``"unmatched candidate"`` or ``"unmatched external"``
    afterwards.

    Args:
        readings: Readings of an encoder with covariates.

    Returns:
        The readings, and a note that says what was matched. If there are fewer than ten
        pairs, the readings are left as they are, and the note says so.
    """
    covariates = Covariates.of_readings(readings)
    members, holdout = (
        np.flatnonzero(readings.roles == role) for role in ("candidate", "external")
    )
    group = readings.column("group")
    kept = members[:0], holdout[:0]
    if covariates is not None and min(len(members), len(holdout)) >= ENOUGH:
        groups = None if group is None else group[np.concatenate([members, holdout])]
        kept = covariates.matched(members, holdout, groups)
    n_pairs = len(kept[0])
    if n_pairs < ENOUGH:
        return readings, _TOO_FEW.format(n_pairs)
    roles = readings.roles.copy()
    roles[np.setdiff1d(members, kept[0])] = "unmatched candidate"
    roles[np.setdiff1d(holdout, kept[1])] = "unmatched external"
    note = _LEFT_OUT.format(n_pairs, len(members), n_pairs, len(holdout))
    return replace(readings, images=readings.images.assign(role=roles)), note
