import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import accuracy, kendall_tau, top_overlap


def top_by_hand(scores, k):
    """Positions of the k highest scores; of equal ones, the first."""
    chosen = []
    for _ in range(k):
        rest = [i for i in range(len(scores)) if i not in chosen]
        best = rest[0]
        for i in rest:
            if scores[i] > scores[best]:
                best = i
        chosen.append(best)
    return set(chosen)


def share_of_lists(n, k, shared):
    """Share of all lists of k of n images with as many of a given list."""
    given = set(range(k))
    lists = [len(given & set(other)) for other in itertools.combinations(range(n), k)]
    return sum(number >= shared for number in lists) / len(lists)


def sign(number):
    return math.copysign(1, number) if number else 0


def agreeing_pairs(a, b):
    """Concordant minus discordant pairs, and the pairs not tied in a and in b."""
    s = untied_a = untied_b = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = sign(a[i] - a[j]), sign(b[i] - b[j])
            s += x * y
            untied_a += x != 0
            untied_b += y != 0
    return s, untied_a, untied_b


def tau_b(a, b):
    s, untied_a, untied_b = agreeing_pairs(a, b)
    return s / math.sqrt(untied_a * untied_b)


def permuted_pairs(a, b):
    """Concordant minus discordant pairs of every order of b."""
    return [agreeing_pairs(a, order)[0] for order in itertools.permutations(b)]


def fieller(tau, n, quantile):
    """The interval of a tau of n images, by the logarithms of Fisher's z."""
    z = math.log((1 + tau) / (1 - tau)) / 2
    half = quantile * math.sqrt(0.437) / math.sqrt(n - 4)
    ends = (math.exp(2 * (z - half)), math.exp(2 * (z + half)))
    return [(end - 1) / (end + 1) for end in ends]


def scores_with_ties(seed, n):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, n).astype(float), rng.integers(0, 4, n).astype(float)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [1, 3, 7, 12])
def test_overlap_counts_the_images_on_both_lists(seed, k):
    first, second = scores_with_ties(seed, 12)
    overlap = top_overlap(first, second, k)
    shared = len(top_by_hand(first, k) & top_by_hand(second, k))
    assert overlap.value == shared / k
    assert overlap.null == k / 12


def test_of_equal_scores_the_earlier_images_are_on_the_list():
    equal = [1.0] * 40
    rising, falling = list(range(40)), list(range(40, 0, -1))
    assert top_overlap(equal, falling, 7).value == 1
    assert top_overlap(equal, rising, 7).value == 0


def test_the_highest_scores_are_on_the_list_whatever_their_sign():
    assert top_overlap([-9, -1, -5, -7], [0, 3, 2, 1], 2).value == 1
    assert top_overlap([-9, -1, -5, -7], [3, 0, 1, 2], 2).value == 0


@pytest.mark.parametrize(("n", "k"), [(6, 1), (7, 3), (8, 4), (9, 6), (5, 5)])
def test_overlap_p_is_the_share_of_all_lists_that_share_as_many(n, k):
    first = np.arange(n, 0, -1.0)
    for shift in range(n):
        second = np.roll(first, shift)
        overlap = top_overlap(first, second, k)
        expected = share_of_lists(n, k, round(overlap.value * k))
        assert overlap.p == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shared", [0, 1, 17, 40, 100])
def test_overlap_p_of_long_lists_is_that_of_exact_combinatorics(shared):
    n, k = 1000, 100
    first, second = np.zeros(n), np.zeros(n)
    first[:k] = 1
    second[k - shared : 2 * k - shared] = 1
    overlap = top_overlap(first, second, k)
    ways = sum(math.comb(k, i) * math.comb(n - k, k - i) for i in range(shared, k + 1))
    assert overlap.value == shared / k
    assert overlap.p == pytest.approx(ways / math.comb(n, k), rel=1e-8)


def test_overlap_does_not_depend_on_which_scores_come_first():
    first, second = np.random.default_rng(0).normal(size=(2, 30))
    one, other = top_overlap(first, second, 9), top_overlap(second, first, 9)
    assert one.columns("overlap") == pytest.approx(
        other.columns("overlap"), rel=0, abs=0, nan_ok=True
    )


@pytest.mark.parametrize("k", [-1, 0, 5])
def test_lists_of_no_image_or_of_more_than_there_are_are_refused(k):
    with pytest.raises(ValueError, match=f"1 to 4, got {k}"):
        top_overlap([4, 3, 2, 1], [1, 2, 3, 4], k)


@pytest.mark.parametrize(
    ("first", "second"),
    [([1, 2, 3], [1, 2]), ([], []), ([[1, 2]], [[1, 2]]), ([1, 2], [[1], [2]]), (1, 2)],
)
def test_scores_of_different_images_are_refused(first, second):
    with pytest.raises(ValueError, match="same images"):
        kendall_tau(first, second)
    with pytest.raises(ValueError, match="same images"):
        top_overlap(first, second, 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [5, 12, 40])
def test_tau_counts_concordant_and_discordant_pairs_and_ties(seed, n):
    first, second = scores_with_ties(seed, n)
    assert float(kendall_tau(first, second).value) == pytest.approx(
        tau_b(first, second), abs=1e-12
    )


@pytest.mark.parametrize("n", [9, 40])
def test_tau_of_scores_without_ties(n):
    first, second = np.random.default_rng(n).normal(size=(2, n))
    tau = float(kendall_tau(first, second).value)
    assert tau == pytest.approx(tau_b(first, second), abs=1e-12)
    assert float(kendall_tau(second, first).value) == pytest.approx(tau, abs=1e-12)
    assert float(kendall_tau(first, -second).value) == pytest.approx(-tau, abs=1e-12)
    assert float(kendall_tau(np.exp(first), second).value) == tau


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3, 4, 5), (1, 0, 2, 4, 3, 5), (2, 5, 1, 3, 0, 4)]
)
def test_tau_p_without_ties_is_the_share_of_orders_as_far_from_chance(order):
    found = agreeing_pairs(range(6), order)[0]
    permuted = permuted_pairs(range(6), order)
    expected = sum(abs(s) >= abs(found) for s in permuted) / len(permuted)
    assert float(kendall_tau(range(6), order).p) == pytest.approx(expected, rel=1e-9)


def test_tau_p_with_ties_takes_the_spread_over_all_orders():
    a, b = (0, 0, 1, 2, 2, 3), (0, 1, 1, 1, 2, 2)
    permuted = permuted_pairs(a, b)
    spread = math.sqrt(sum(s**2 for s in permuted) / len(permuted))
    expected = math.erfc(agreeing_pairs(a, b)[0] / spread / math.sqrt(2))
    assert float(kendall_tau(a, b).p) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [5, 6, 30, 200])
@pytest.mark.parametrize(
    ("options", "quantile"),
    [
        ({}, 1.959963984540054),
        ({"confidence": 0.99}, 2.5758293035489),
        ({"confidence": 0.5}, 0.6744897501960817),
    ],
)
def test_the_interval_is_fiellers(n, options, quantile):
    rng = np.random.default_rng(n)
    first = rng.normal(size=n)
    second = first + rng.normal(size=n)
    estimate = kendall_tau(first, second, **options)
    expected = fieller(tau_b(first, second), n, quantile)
    assert [float(estimate.low), float(estimate.high)] == pytest.approx(expected)


@pytest.mark.parametrize(("n", "known"), [(2, False), (4, False), (5, True)])
def test_fewer_than_five_images_have_no_interval(n, known):
    second = np.arange(n, dtype=float)
    second[:2] = 1, 0
    estimate = kendall_tau(np.arange(n), second)
    assert float(estimate.value) == pytest.approx(1 - 4 / (n * (n - 1)))
    assert np.isfinite(estimate.p)
    assert np.isfinite(estimate.low) == np.isfinite(estimate.high) == known


@pytest.mark.parametrize("tau", [1, -1])
def test_equal_and_opposite_rankings_have_tau_one_without_a_warning(tau, recwarn):
    estimate = kendall_tau(np.arange(20), tau * np.arange(20) ** 3)
    assert [float(v) for v in (estimate.value, estimate.low, estimate.high)] == [
        tau
    ] * 3
    assert float(estimate.p) == pytest.approx(2 / math.factorial(20))
    assert not recwarn.list


def test_a_score_that_is_the_same_for_all_images_has_no_tau():
    for pair in ([[1.0] * 9, range(9)], [range(9), [1.0] * 9]):
        assert np.isnan(list(kendall_tau(*pair))).all()


def test_fields_of_tau_have_no_dimension():
    assert [np.shape(field) for field in kendall_tau(range(9), range(9))] == [()] * 4


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_hold_the_tau_of_bivariate_normals_as_often_as_they_say(
    rho, confidence
):
    rng, n_draws, covered = np.random.default_rng(5), 500, 0
    tau = 2 / math.pi * math.asin(rho)
    for first, noise in rng.normal(size=(n_draws, 2, 40)):
        second = rho * first + math.sqrt(1 - rho**2) * noise
        estimate = kendall_tau(first, second, confidence)
        covered += bool(estimate.low <= tau <= estimate.high)
    least, most = stats.binom.interval(0.999, n_draws, confidence)
    assert least <= covered <= most


def test_p_values_of_unrelated_scores_are_as_small_as_chance_has_it():
    rng, n_draws = np.random.default_rng(6), 300
    draws = rng.normal(size=(n_draws, 2, 40))
    p = np.array([kendall_tau(*draw).p for draw in draws])
    for level in (0.05, 0.2, 0.5):
        least, most = stats.binom.interval(0.999, n_draws, level)
        assert least <= (p <= level).sum() <= most
    overlap_p = np.array([top_overlap(*draw, 10).p for draw in draws])
    for shared in (2, 3, 4):
        level = sum(math.comb(10, i) * math.comb(30, 10 - i) for i in range(shared, 11))
        level /= math.comb(40, 10)
        least, most = stats.binom.interval(0.999, n_draws, level)
        assert least <= (overlap_p <= level * (1 + 1e-9)).sum() <= most


@pytest.mark.parametrize(
    ("options", "z"),
    [
        ({}, 1.959963984540054),
        ({"confidence": 0.99}, 2.5758293035489),
        ({"confidence": 0.5}, 0.6744897501960817),
    ],
)
def test_wilson_interval(options, z):
    found = accuracy([0] * 8 + [1] * 2, [0] * 10, **options)
    p, n = 0.8, 10
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert list(found) == pytest.approx([0.8, centre - half, centre + half])


@pytest.mark.parametrize(("one", "other"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_predictions_that_do_not_fit_the_targets(one, other):
    with pytest.raises(ValueError, match="as many predictions as targets"):
        accuracy(one, other)
