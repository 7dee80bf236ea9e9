"""Permutations keep groups whole and strata apart; maxT adjusts for many tests."""

import numpy as np
import pytest

from lightly_memloc.functional.resampling import permuted_labels, step_down_p

LABELS = np.array([True, True, True, True, False, False, False, False])


def _all(labels, n=400, **design):
    rng = np.random.default_rng(0)
    return np.concatenate(list(permuted_labels(labels, n, rng, **design)))


def test_each_image_has_the_label_equally_often():
    permuted = _all(LABELS, n=4000)
    assert permuted.sum(axis=1).tolist() == [4] * 4000
    # The standard error of a frequency of one half is 0.008.
    assert np.abs(permuted.mean(axis=0) - 0.5).max() < 0.03


def test_groups_stay_together():
    permuted = _all(LABELS, groups=["a", "b", "a", "b", "c", "c", "d", "d"])
    for first, second in ((0, 2), (1, 3), (4, 5), (6, 7)):
        assert (permuted[:, first] == permuted[:, second]).all()
    assert len(np.unique(permuted, axis=0)) == 6  # two of four groups


def test_groups_may_differ_in_size():
    labels = np.array([True, True, True, False])
    permuted = np.unique(_all(labels, groups=[0, 0, 0, 1]), axis=0)
    assert permuted.tolist() == [[False, False, False, True], [True, True, True, False]]


def test_strata_keep_their_number_of_labels():
    strata = np.array([0, 1, 1, 1, 0, 0, 0, 1])
    permuted = _all(LABELS, strata=strata)
    assert (permuted[:, strata == 0].sum(axis=1) == 1).all()
    assert (permuted[:, strata == 1].sum(axis=1) == 3).all()
    assert len(np.unique(permuted, axis=0)) == 16


def test_groups_across_strata_are_exchanged_among_themselves():
    groups = [0, 0, 1, 2, 3, 3, 4, 5]
    strata = ["x", "y", "x", "x", "y", "x", "x", "x"]
    permuted = _all(LABELS, groups=groups, strata=strata)
    assert (permuted[:, 0] == permuted[:, 1]).all()
    assert (permuted[:, [0, 4]].sum(axis=1) == 1).all()
    assert (permuted[:, [2, 3, 6, 7]].sum(axis=1) == 2).all()


def test_a_divided_group_is_refused():
    with pytest.raises(ValueError, match="Group 7 has images of both sets"):
        _all(LABELS, groups=[1, 2, 3, 7, 7, 4, 5, 6])


def test_adjusted_p_is_that_of_the_definition():
    rng = np.random.default_rng(1)
    resampled, observed = np.abs(rng.standard_normal((99, 4))), np.array([2.5, 1, 2, 0])
    expected, previous = {}, 0.0
    remaining = [0, 2, 1, 3]  # by observed statistic
    while remaining:
        largest = resampled[:, remaining].max(axis=1)
        layer = remaining.pop(0)
        previous = max(previous, (1 + (largest >= observed[layer]).sum()) / 100)
        expected[layer] = previous
    assert step_down_p(resampled, observed).tolist() == [expected[i] for i in range(4)]


def test_a_repeated_statistic_costs_nothing():
    rng = np.random.default_rng(2)
    resampled, observed = np.abs(rng.standard_normal((99, 2))), np.array([2.0, 1.0])
    once = step_down_p(resampled, observed)
    thrice = step_down_p(np.repeat(resampled, 3, axis=1), np.repeat(observed, 3))
    assert thrice.tolist() == np.repeat(once, 3).tolist()


def test_an_unknown_statistic_is_left_out():
    resampled = np.array([[1.0, np.nan], [3.0, np.nan]])
    assert step_down_p(resampled, np.array([2.0, np.nan]))[0] == 2 / 3
    assert np.isnan(step_down_p(resampled, np.array([2.0, np.nan]))[1])


def test_the_familywise_error_rate_is_the_level():
    rng = np.random.default_rng(3)
    observed = np.abs(rng.standard_normal((1000, 8)))
    resampled = np.abs(rng.standard_normal((499, 8)))
    found = [step_down_p(resampled, row).min() <= 0.05 for row in observed]
    # The standard error is 0.7% for the draws and 1% for the common resamples.
    assert 0.02 < np.mean(found) < 0.09
