"""Matching of members and held-out images that differ in kind."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from lightly_memloc.estimation import Readings, estimate_layer_mem, infer_membership
from lightly_memloc.estimation.matching import matched_readings
from lightly_memloc.report import report_of

SETTINGS = {"normalization": "relative", "top_k": 5, "seed": 0, "reference": False}


def readings(shift, n=150, memorised=0.0, groups=None):
    """Images whose distance is their difficulty; members are easier by ``shift``."""
    rng = np.random.default_rng(0)
    roles = np.repeat(["candidate", "external"], n)
    difficulty = rng.normal(np.where(roles == "external", shift, 0.0), 1)
    noise = rng.normal(0, 0.3, size=(2 * n, 2))
    distances = 0.2 * np.exp(difficulty[:, None] + noise)
    distances[roles == "candidate"] *= np.exp(-memorised)
    index = np.arange(2 * n)
    images = pd.DataFrame(
        {"index": index, "filename": [f"{i}.png" for i in index], "role": roles}
    )
    if groups is not None:
        images["group"] = index // groups
    return Readings(
        images,
        [("conv", "conv"), ("head", "linear")],
        {"f": distances},
        covariates=pd.DataFrame(
            {"pixels:noisy": difficulty + rng.normal(0, 0.1, 2 * n)}
        ),
    )


@cache
def estimated(shift, memorised=0.0, *, matched):
    of = readings(shift, memorised=memorised)
    return estimate_layer_mem(of, SETTINGS | {"matched": matched}, 499)


def test_sets_that_differ_are_alike_once_matched():
    plain, matched = (estimated(1.0, matched=of) for of in (False, True))
    assert plain.differs_in_kind
    assert (plain.to_pandas()["alignment_gap_p"] < 0.01).all()
    assert not matched.differs_in_kind
    assert matched.settings["blind_before"] == plain.settings["blind"]
    for estimate in ("alignment_gap", "adjusted_gap"):
        assert (matched.to_pandas()[f"{estimate}_p"] > 0.05).all(), estimate


def test_what_was_memorised_is_found_once_matched():
    matched = estimated(1.0, 0.5, matched=True)
    assert (matched.to_pandas()["adjusted_gap_p"] < 0.01).all()
    # The members' distances are exp(-0.5) of those of other images.
    assert matched.to_pandas()["adjusted_gap"].to_numpy() == pytest.approx(
        np.tanh(0.25), abs=0.06
    )


def test_images_without_a_counterpart_are_set_aside():
    found, note = matched_readings(readings(1.0))
    counts = found.images["role"].value_counts()
    assert counts["candidate"] == counts["external"]
    assert counts["candidate"] + counts["unmatched candidate"] == 150
    assert counts["external"] + counts["unmatched external"] == 150
    assert f"{counts['candidate']} of 150 members" in note
    # The easiest held-out images are those that are like members.
    difficulty = found.covariates["pixels:noisy"]
    by_role = difficulty.groupby(found.roles).mean()
    assert by_role["unmatched candidate"] < by_role["candidate"]
    assert by_role["unmatched external"] > by_role["external"]
    assert abs(by_role["candidate"] - by_role["external"]) < 0.15


def test_membership_is_inferred_among_those_that_are_matched():
    matched = estimated(1.0, matched=True)
    inferred = infer_membership(matched)
    n = matched.settings["images"]["candidate"]
    assert inferred.settings["images"] == {"candidate": n, "external": n}
    assert len(inferred.to_pandas("samples")) == n
    assert inferred.settings["overall"]["auc_p"] > 0.05


def test_sets_without_anything_in_common_are_left_as_they_are():
    apart = readings(12.0)
    found, note = matched_readings(apart)
    assert found is apart
    assert "Only 0 members have a counterpart" in note
    result = estimated(12.0, matched=True)
    assert result.differs_in_kind
    assert note in result.settings["notes"]
    words = report_of(result).words()
    assert "nothing can be concluded" in words
    assert "--matched" not in words


def test_too_few_images_to_match():
    few = readings(0.0, n=6)
    assert matched_readings(few)[0] is few


def test_groups_are_scored_by_other_groups():
    found, _ = matched_readings(readings(1.0, groups=3))
    counts = found.images["role"].value_counts()
    assert counts["candidate"] == counts["external"] > 30


def test_words():
    words = report_of(estimated(1.0, matched=False)).words()
    assert "--matched" in words
    words = report_of(estimated(1.0, matched=True)).words()
    assert "before they were matched" in words
