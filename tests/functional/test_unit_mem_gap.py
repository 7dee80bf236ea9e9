import itertools

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import unit_mem_gap
from tests.functional.exact import share_as_far


def activations(n_images, n_units, seed=0):
    """Activations of members and non-members, members with larger maxima."""
    rng = np.random.default_rng(seed)
    mu = rng.gamma(2.0, size=(2, n_images, n_units))
    mu[0, rng.integers(n_images, size=n_units), np.arange(n_units)] *= 2
    return mu


def grouped(mu, n_groups):
    """Largest, total and count of the groups that images are dealt to in turn."""
    n_units = len(mu[0][0])
    largest = np.full((2, n_groups, n_units), -np.inf)
    total, counts = np.zeros((2, n_groups, n_units)), np.zeros((2, n_groups))
    for role in range(2):
        for image, activation in enumerate(mu[role]):
            group = image % n_groups
            largest[role, group] = np.maximum(largest[role, group], activation)
            total[role, group] += activation
            counts[role, group] += 1
    return largest, total, counts


def unit_mem(column):
    winner = int(np.argmax(column))
    others = [column[i] for i in range(len(column)) if i != winner]
    rest = sum(others) / len(others)
    return (column[winner] - rest) / (column[winner] + rest) if column[winner] else 0.0


def brute_force(mu, swapped=(), n_groups=1):
    """Mean gap over the units with some activation, the given groups swapped."""
    members, others = [], []
    for role in range(2):
        for image, activation in enumerate(mu[role]):
            is_member = (role == 0) != (image % n_groups in swapped)
            (members if is_member else others).append(activation)
    gaps = [
        unit_mem(member) - unit_mem(other)
        for member, other in zip(
            np.transpose(members), np.transpose(others), strict=True
        )
        if member.any() or other.any()
    ]
    return sum(gaps) / len(gaps)


def every_swap(mu, n_groups):
    return [
        brute_force(mu, swapped, n_groups)
        for size in range(n_groups + 1)
        for swapped in itertools.combinations(range(n_groups), size)
    ]


@pytest.mark.parametrize(
    ("n_images", "n_groups"), [(5, 5), (40, 10), (64, 9), (7, 1), (23, 4)]
)
def test_value(n_images, n_groups):
    mu = activations(n_images, 6)
    value = unit_mem_gap(*grouped(mu, n_groups)).value
    np.testing.assert_allclose(value, [brute_force(mu)], rtol=1e-10)


@pytest.mark.parametrize(("n_images", "n_groups"), [(5, 5), (14, 6), (9, 2)])
@pytest.mark.parametrize("seed", range(2))
def test_p_value_and_interval_against_every_swap(n_images, n_groups, seed):
    mu = activations(n_images, 4, seed)
    every = every_swap(mu, n_groups)
    value = brute_force(mu)
    estimate = unit_mem_gap(*grouped(mu, n_groups), confidence=0.8)
    assert estimate.p.tolist() == [share_as_far(every, value)]
    margin = (estimate.high[0] - estimate.low[0]) / 2
    assert margin == pytest.approx(np.quantile(np.abs(every), 0.8), rel=1e-10)
    assert (estimate.low[0] + estimate.high[0]) / 2 == pytest.approx(value, rel=1e-10)


def test_sets_of_unequal_size():
    members, others = activations(11, 4)
    mu = members, others[:8]
    estimate = unit_mem_gap(*grouped(mu, 4))
    value = brute_force(mu)
    np.testing.assert_allclose(estimate.value, [value], rtol=1e-10)
    exact = share_as_far(every_swap(mu, 4), value)
    assert estimate.p.tolist() == [exact]


def test_dead_units_are_left_out():
    mu = activations(12, 5)
    mu[..., [1, 4]] = 0
    live = mu[..., [0, 2, 3]]
    estimate = unit_mem_gap(*grouped(mu, 4))
    np.testing.assert_allclose(estimate.value, [brute_force(live)], rtol=1e-10)
    value, every = brute_force(live), every_swap(live, 4)
    assert estimate.p.tolist() == [share_as_far(every, value)]


def test_unit_that_answers_to_one_set_only():
    mu = activations(6, 2)
    mu[1, :, 0] = 0
    value = unit_mem_gap(*grouped(mu, 6)).value
    np.testing.assert_allclose(value, [brute_force(mu)], rtol=1e-10)


def test_by_hand():
    mu = np.array([[[8.0], [1.0], [3.0]], [[4.0], [4.0], [1.0]]])
    value = unit_mem_gap(*grouped(mu, 3)).value
    np.testing.assert_allclose(value, [6 / 10 - 1.5 / 6.5], rtol=1e-12)


def test_swapped_roles_have_the_opposite_gap():
    mu = activations(20, 6)
    largest, total, counts = grouped(mu, 8)
    estimate = unit_mem_gap(largest[::-1], total[::-1], counts[::-1])
    np.testing.assert_allclose(estimate.value, [-brute_force(mu)], rtol=1e-10)


def test_group_without_an_image():
    mu = activations(3, 4)
    largest, total, counts = grouped(mu, 3)
    largest, total, counts = (
        np.concatenate([field, np.full((2, 1, *field.shape[2:]), empty)], axis=1)
        for field, empty in ((largest, -np.inf), (total, 0), (counts, 0))
    )
    value = unit_mem_gap(largest, total, counts).value
    np.testing.assert_allclose(value, [brute_force(mu)], rtol=1e-10)


def test_dead_unit_beside_a_group_without_an_image():
    mu = activations(3, 4)
    mu[..., 2] = 0
    largest, total, counts = grouped(mu, 3)
    largest, total, counts = (
        np.concatenate([field, np.full((2, 1, *field.shape[2:]), empty)], axis=1)
        for field, empty in ((largest, -np.inf), (total, 0), (counts, 0))
    )
    value = unit_mem_gap(largest, total, counts).value
    np.testing.assert_allclose(value, [brute_force(mu)], rtol=1e-10)


def test_swaps_that_leave_a_side_with_one_image_are_left_out():
    mu = activations(3, 4)
    there = np.array([[True, True, False], [False, True, True]])
    every = []
    for swap in itertools.product([0, 1], repeat=3):
        sides = [
            [mu[r, g] for g in range(3) for r in [role ^ swap[g]] if there[r, g]]
            for role in (0, 1)
        ]
        if min(map(len, sides)) > 1:
            members, others = np.transpose(sides[0]), np.transpose(sides[1])
            every.append(
                np.mean(
                    [
                        unit_mem(m) - unit_mem(o)
                        for m, o in zip(members, others, strict=True)
                    ]
                )
            )
    assert len(every) == 4
    estimate = unit_mem_gap(
        np.where(there[..., None], mu, -np.inf),
        np.where(there[..., None], mu, 0),
        there.astype(float),
        confidence=0.6,
    )
    assert estimate.value[0] == pytest.approx(every[0], rel=1e-10)
    assert estimate.p.tolist() == [share_as_far(every, every[0])]
    margin = np.quantile(np.abs(every), 0.6)
    assert estimate.high[0] == pytest.approx(every[0] + margin, rel=1e-10)


def test_one_image_on_a_side_is_nothing_to_compare():
    largest, total, counts = grouped(activations(3, 2), 3)
    largest[0, 1:], total[0, 1:], counts[0, 1:] = -np.inf, 0, 0
    estimate = unit_mem_gap(largest, total, counts)
    np.testing.assert_array_equal(list(estimate), np.full((4, 1), np.nan))


def test_one_group_says_nothing_about_significance():
    assert unit_mem_gap(*grouped(activations(9, 3), 1)).p[0] == 1


def test_without_anything_to_find():
    rng = np.random.default_rng(0)
    repeats, significant = 400, 0
    for _ in range(repeats):
        common = rng.gamma(2.0, size=(2, 24, 1))
        mu = common * rng.gamma(2.0, size=(2, 24, 10))
        p = unit_mem_gap(*grouped(mu, 8)).p[0]
        significant += int(p <= 0.05)
    lowest, highest = stats.binom.ppf([1e-5, 1 - 1e-5], repeats, 0.05)
    assert lowest <= significant <= highest


@pytest.mark.parametrize("n_images", [1, 5])
def test_nothing_to_compare(n_images):
    mu = np.zeros((2, n_images, 3)) if n_images > 1 else activations(1, 3)
    estimate = unit_mem_gap(*grouped(mu, n_images))
    np.testing.assert_array_equal(list(estimate), np.full((4, 1), np.nan))


def test_units_of_many_blocks():
    mu = activations(20, 300)
    value = unit_mem_gap(*grouped(mu, 5)).value
    np.testing.assert_allclose(value, [brute_force(mu)], rtol=1e-10)


def test_too_many_groups():
    with pytest.raises(ValueError, match="at most 10 pairs of groups, got 11"):
        unit_mem_gap(*grouped(activations(11, 2), 11))
