"""Permuting in blocks says of many images what permuting them says."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import membership, resampling
from lightly_memloc.functional.resampling import Assignment
from lightly_memloc.functional.separation import Separated, Separation
from lightly_memloc.functional.separation_in_blocks import separate_in_blocks

RATE = Fraction(1, 10)


def separated(scores, assigned, n_resamples=400):
    """The same permutations of few images, by either way."""
    found = separate_in_blocks(
        scores, assigned, RATE, n_resamples, np.random.default_rng(0)
    )
    one_by_one = Separation(scores, assigned, RATE)
    permuted = [
        one_by_one.of(labels)
        for labels in assigned.permuted(n_resamples, np.random.default_rng(0))
    ]
    observed = one_by_one.of(assigned.label[None])
    expected = Separated(*map(np.concatenate, zip(*permuted, strict=True)))
    return found, (observed, expected)


@pytest.mark.parametrize("decimals", [0, 9])
@pytest.mark.parametrize("per_group", [1, 3])
def test_few_images_are_separated_as_one_by_one(decimals, per_group):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(1800, 2)).round(decimals)
    scores[:900] += [0.5, 0]
    groups = np.arange(1800) // per_group
    assigned = Assignment.of(np.arange(1800) < 900, groups)
    (observed, permuted), (expected, by_image) = separated(scores, assigned)
    for found, of in zip(observed, expected, strict=True):
        np.testing.assert_allclose(found, of, rtol=1e-9)
    np.testing.assert_allclose(permuted.auc, by_image.auc, rtol=1e-12)
    np.testing.assert_allclose(permuted.variance, by_image.variance, rtol=0.02)
    if decimals == 9:
        # Ranks beyond the pooled threshold stand for those beyond the others' own.
        for one, other in zip(permuted.tpr.T, by_image.tpr.T, strict=True):
            assert np.corrcoef(one, other)[0, 1] > 0.9
            assert one.mean() == pytest.approx(other.mean(), abs=0.002)
            assert one.std() == pytest.approx(other.std(), rel=0.1)


def test_without_a_threshold_there_is_no_rate():
    assigned = Assignment.of(np.arange(40) < 20)
    scores = np.random.default_rng(0).normal(size=(40, 1))
    for found in separate_in_blocks(
        scores, assigned, None, 9, np.random.default_rng(0)
    ):
        assert np.isnan(found.tpr).all()
        assert (found.variance > 0).all()


N_MANY = 12_000
DESIGNS = {
    "images": {},
    "strata": {"strata": np.arange(2 * N_MANY) % 300},
}


def many(rng, shift, n_columns):
    stratum = np.tile(np.arange(N_MANY) % 300, 2)[:, None] / 300
    scores = rng.normal(size=(2 * N_MANY, n_columns)) + stratum
    scores[:N_MANY] += shift
    return scores[:N_MANY], scores[N_MANY:]


@pytest.mark.parametrize("design", ["images", "strata"])
@pytest.mark.parametrize("shift", [0.02, 1.0])
def test_many_images_in_blocks_are_judged_as_one_by_one(design, shift, monkeypatch):
    members, others = many(np.random.default_rng(0), shift, 2)
    in_blocks = membership(members, others, n_resamples=999, **DESIGNS[design])
    module = sys.modules[membership.__module__]
    monkeypatch.setattr(module, "MANY_GROUPS", 10**9)
    monkeypatch.setattr(resampling, "MANY_GROUPS", 10**9)
    by_image = membership(members, others, n_resamples=999, **DESIGNS[design])
    np.testing.assert_allclose(in_blocks.auc.value, by_image.auc.value, rtol=1e-12)
    widths = [of.auc.high - of.auc.low for of in (in_blocks, by_image)]
    # The 95% quantile of 999 statistics has a standard error of 3%.
    np.testing.assert_allclose(*widths, rtol=0.15)
    for field in ("value", "low", "high"):
        one, other = (getattr(of.tpr, field) for of in (in_blocks, by_image))
        np.testing.assert_array_equal(one, other)
    for one, other in (
        (in_blocks.auc.p, by_image.auc.p),
        (in_blocks.auc.p_adjusted, by_image.auc.p_adjusted),
        (in_blocks.tpr.p, by_image.tpr.p),
        (in_blocks.tpr.p_adjusted, by_image.tpr.p_adjusted),
    ):
        assert (np.abs(one - other) < 0.01 + 0.15 * np.sqrt(other)).all()


def test_many_images_in_blocks_keep_the_level_and_cover_the_truth():
    rng, n_columns, false, covered = np.random.default_rng(2), 60, 0, 0
    truth = stats.norm.cdf(0.5 / np.sqrt(2))
    for seed in range(2):
        members, others = rng.normal(size=(2, N_MANY, n_columns))
        options = {"n_resamples": 499, "seed": seed, "false_positives": None}
        false += (membership(members, others, **options).auc.p <= 0.05).sum()
        auc = membership(members + 0.5, others, **options).auc
        covered += ((auc.low <= truth) & (truth <= auc.high)).sum()
    lowest, highest = stats.binom.ppf([1e-5, 1 - 1e-5], 2 * n_columns, 0.05)
    assert lowest <= false <= highest
    assert lowest <= 2 * n_columns - covered <= highest
