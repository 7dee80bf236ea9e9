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


def standard_error(mu, n_groups):
    """From the spread among swaps of equally many groups, and from the jackknife."""
    squares = []
    for size in range(n_groups + 1):
        alike = [
            brute_force(mu, swapped, n_groups)
            for swapped in itertools.combinations(range(n_groups), size)
        ]
        squares += [(gap - np.mean(alike)) ** 2 for gap in alike]
    without = [
        brute_force(mu[:, np.arange(mu.shape[1]) % n_groups != group])
        for group in range(n_groups)
    ]
    jackknife = sum((gap - np.mean(without)) ** 2 for gap in without)
    factor = n_groups / (n_groups - 1)
    return np.sqrt((np.mean(squares) * factor + jackknife / factor) / 2)


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
    # At this level few swaps cannot move the ends of the interval.
    confidence = 1 - 0.9 * 2 / 2**n_groups
    estimate = unit_mem_gap(*grouped(mu, n_groups), confidence=confidence)
    assert estimate.p.tolist() == [share_as_far(every, value)]
    margin = standard_error(mu, n_groups) * stats.t.ppf(
        (1 + confidence) / 2, n_groups - 1
    )
    assert estimate.low[0] == pytest.approx(value - margin, rel=1e-9)
    assert estimate.high[0] == pytest.approx(value + margin, rel=1e-9)


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
    )
    assert estimate.value[0] == pytest.approx(every[0], rel=1e-10)
    assert estimate.p.tolist() == [share_as_far(every, every[0])]


def test_one_image_on_a_side_is_nothing_to_compare():
    largest, total, counts = grouped(activations(3, 2), 3)
    largest[0, 1:], total[0, 1:], counts[0, 1:] = -np.inf, 0, 0
    estimate = unit_mem_gap(largest, total, counts)
    np.testing.assert_array_equal(list(estimate), np.full((5, 1), np.nan))


def test_one_group_says_nothing_about_significance():
    estimate = unit_mem_gap(*grouped(activations(9, 3), 1))
    assert estimate.p[0] == 1
    assert np.isnan([estimate.low[0], estimate.high[0]]).all()


def simulated(rng, n_images, effect, n_units=24):
    """Units that share their images, one of the members memorised in each."""
    common = rng.standard_normal((2, n_images, 1))
    mu = np.exp(0.5 * common + rng.standard_normal((2, n_images, n_units)))
    mu[0, rng.permutation(n_units) % n_images, np.arange(n_units)] *= np.exp(effect)
    return mu


def unit_mem_of_units(mu):
    largest = mu.max(axis=0)
    rest = (mu.sum(axis=0) - largest) / (len(mu) - 1)
    return (largest - rest) / (largest + rest)


@pytest.mark.parametrize("effect", [0.0, 3.0])
def test_intervals_cover_and_agree_with_p_values(effect):
    rng = np.random.default_rng(0)
    truth, repeats = 0.0, 300
    if effect:
        drawn = [simulated(rng, 16, effect) for _ in range(4000)]
        truth = np.mean(
            [
                unit_mem_of_units(m).mean() - unit_mem_of_units(o).mean()
                for m, o in drawn
            ]
        )
    mus = [simulated(rng, 16, effect) for _ in range(repeats)]
    groups = [grouped(mu, 8) for mu in mus]
    largest, total = (
        np.concatenate([of[i] for of in groups], axis=2) for i in range(2)
    )
    estimate = unit_mem_gap(largest, total, groups[0][2], layer_sizes=[24] * repeats)
    covered = ((estimate.low <= truth) & (truth <= estimate.high)).sum()
    assert covered >= stats.binom.ppf(0.01, repeats, 0.93)
    excludes = (estimate.low > 0) | (estimate.high < 0)
    np.testing.assert_array_equal(excludes, estimate.p <= 0.05)
    if effect:
        # The margin does not contain the effect, as quantiles of swapped gaps do.
        every = np.array(every_swap(mus[0], 8))
        margin = (estimate.high - estimate.low).mean() / 2
        assert truth > 0.15
        assert margin < 0.7 * np.quantile(np.abs(every), 0.95)


def test_layers_side_by_side():
    mu = activations(20, 12)
    mu[..., 4:6] = 0
    sizes = [4, 2, 6]
    largest, total, counts = grouped(mu, 6)
    together = unit_mem_gap(largest, total, counts, layer_sizes=sizes)
    edges = np.cumsum([0, *sizes])
    for layer, (first, last) in enumerate(itertools.pairwise(edges)):
        alone = unit_mem_gap(*grouped(mu[..., first:last], 6))
        for name in ("value", "low", "high", "p"):
            np.testing.assert_allclose(
                getattr(together, name)[layer], getattr(alone, name)[0], rtol=1e-12
            )
    assert np.isnan(together.p_adjusted[1])
    # Max-T over both live layers by hand.
    every = np.abs([every_swap(mu[..., :4], 6), every_swap(mu[..., 6:], 6)])
    z = every / np.sqrt((every**2).mean(axis=1, keepdims=True))
    order = np.argsort(z[:, 0])
    larger = share_as_far(z.max(axis=0), z[order[1], 0])
    smaller = max(larger, share_as_far(z[order[0]], z[order[0], 0]))
    adjusted = together.p_adjusted[[0, 2]]
    assert adjusted[order[1]] == pytest.approx(larger)
    assert adjusted[order[0]] == pytest.approx(smaller)


def test_with_a_reference_the_roles_of_its_gap_are_exchanged():
    f, g = activations(14, 5), activations(14, 5, seed=1)
    largest, total, counts = grouped(f, 6)
    estimate = unit_mem_gap(largest, total, counts, reference=grouped(g, 6)[:2])
    assert estimate.value[0] == pytest.approx(
        (brute_force(f) + brute_force(g[::-1])) / 2, rel=1e-10
    )
    pairs = zip(every_swap(f, 6), every_swap(g[::-1], 6), strict=True)
    every = [(of_f + of_g) / 2 for of_f, of_g in pairs]
    assert estimate.p.tolist() == [share_as_far(every, every[0])]


def test_an_encoder_compared_with_itself_has_no_gap():
    largest, total, counts = grouped(activations(14, 5), 6)
    estimate = unit_mem_gap(largest, total, counts, reference=(largest, total))
    fields = (estimate.value, estimate.low, estimate.high, estimate.p)
    assert [field[0] for field in fields] == [0, 0, 0, 1]


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
    np.testing.assert_array_equal(list(estimate), np.full((5, 1), np.nan))


def test_units_of_many_blocks():
    mu = activations(20, 300)
    value = unit_mem_gap(*grouped(mu, 5)).value
    np.testing.assert_allclose(value, [brute_force(mu)], rtol=1e-10)


def test_too_many_groups():
    with pytest.raises(ValueError, match="at most 10 pairs of groups, got 11"):
        unit_mem_gap(*grouped(activations(11, 2), 11))
