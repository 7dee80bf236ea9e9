"""Permutations keep groups whole and strata apart; maxT adjusts for many tests."""

import numpy as np
import pytest

from lightly_memloc.functional import resampling
from lightly_memloc.functional.resampling import (
    Assignment,
    groups_in_blocks,
    permuted_labels,
    step_down_p,
)

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


def assigned(n_first, n_second, strata=None):
    return Assignment.of(np.arange(n_first + n_second) < n_first, strata=strata)


def test_few_groups_are_not_joined():
    few = assigned(10_000, 10_000)
    assert few.in_blocks(np.random.default_rng(0)) is few
    assert groups_in_blocks(few.group, np.random.default_rng(0)) is few.group


@pytest.mark.parametrize(
    ("sizes", "n_strata", "n_blocks"),
    [
        ((15_000, 15_000), 1, 5_000),
        ((400_000, 300_123), 1, 5_150),
        ((1_500, 30_000), 1, 10_600),
        ((40_000, 60_000), 300, 9_000),
        ((20_000, 5), 3, 20_005),
    ],
)
def test_blocks_are_of_one_label_and_stratum_and_equal_within(
    sizes, n_strata, n_blocks
):
    rng = np.random.default_rng(0)
    strata = rng.integers(n_strata, size=sum(sizes))
    groups = assigned(*sizes, strata)
    blocks = groups.in_blocks(rng)
    assert len(blocks.label) <= n_blocks
    assert (blocks.label[blocks.group] == groups.label).all()
    joined = np.stack([blocks.stratum[blocks.group], groups.stratum])
    assert len(np.unique(joined, axis=1).T) == len(np.unique(blocks.stratum))
    number = np.bincount(blocks.group)
    for stratum in np.unique(blocks.stratum):
        of = blocks.stratum == stratum
        assert len(np.unique(number[of])) == 1
        # Whatever one label has can be exchanged with the other.
        assert len(np.unique(blocks.label[of])) == 2


def test_images_of_a_group_are_in_one_block():
    rng = np.random.default_rng(0)
    groups = np.arange(90_000) // 3
    labels = groups < 10_000
    blocks = Assignment.of(labels, groups).in_blocks(rng).group
    assert (blocks.reshape(-1, 3) == blocks[::3, None]).all()
    assert 5_000 <= len(np.unique(blocks)) < 5_020
    drawn = groups_in_blocks(groups, rng).reshape(-1, 3)
    assert (drawn == drawn[:, :1]).all()
    assert set(np.bincount(drawn[:, 0])) == {6}


def test_blocks_are_drawn_at_random():
    """Neighbours, such as the frames of a film, are no likelier to share a block."""
    blocks = assigned(20_000, 20_000).in_blocks(np.random.default_rng(0)).group
    together = (blocks[:-1] == blocks[1:]).sum()
    # Of 40,000 pairs of neighbours, 7 of 20,000 are expected each.
    assert together < 40


@pytest.mark.parametrize("least", [1, 2, 7])
def test_the_lengths_of_blocks_make_the_fewest_of_them(least):
    sizes = np.array([[333, 340], [12, 12], [5, 7], [1, 90], [8, 0]])
    found = resampling._block_lengths(sizes, 10 * least)
    for (n, m), length in zip(sizes.tolist(), found.tolist(), strict=True):
        numbers = {
            size: n // size + n % size + m // size + m % size
            for size in range(1, 10 * least + 1)
            if m == 0
            or (
                (n // size == 0) == (m // size == 0)
                and (n % size == 0) == (m % size == 0)
            )
        }
        assert numbers[length] == min(numbers.values())
