import itertools
import math
from statistics import fmean

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


def tie_factor(a, b):
    """Variance of tau over all orders of b, over that of as many scores without ties."""
    n = len(a)
    _, untied_a, untied_b = agreeing_pairs(a, b)
    tied = fmean(pairs**2 for pairs in permuted_pairs(a, b)) / (untied_a * untied_b)
    untied = fmean(pairs**2 for pairs in permuted_pairs(range(n), range(n)))
    return tied / (untied / (n * (n - 1) / 2) ** 2)


def weighted_tau(weights, a, b):
    s, of_a, of_b = (
        (weights[:, None] * weights * pairs).sum()
        for pairs in (
            np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b)),
            np.not_equal.outer(a, a),
            np.not_equal.outer(b, b),
        )
    )
    return s / math.sqrt(of_a * of_b)


def infinitesimal_jackknife(a, b):
    """Variance of tau from its derivative by the weight of each image."""
    n, step = len(a), 1e-4
    slopes = [
        (weighted_tau(1 + step * unit, a, b) - weighted_tau(1 - step * unit, a, b))
        / (2 * step)
        for unit in np.eye(n)
    ]
    return n / (n - 1) * sum(slope**2 for slope in slopes)


def error_of_z(a, b, factor=1.0):
    """Standard error of Fisher's z of tau, by the larger of two variances."""
    n, tau = len(a), tau_b(a, b)
    fieller = 0.437 / (n - 4) * factor
    return math.sqrt(max(fieller, infinitesimal_jackknife(a, b) / (1 - tau**2) ** 2))


def ends(tau, half):
    """The interval around Fisher's z of tau, by logarithms."""
    z = math.log((1 + tau) / (1 - tau)) / 2
    exponentials = (math.exp(2 * (z - half)), math.exp(2 * (z + half)))
    return [(end - 1) / (end + 1) for end in exponentials]


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


def test_ties_at_the_end_of_the_lists_do_not_make_overlap_significant():
    """Both lists prefer the earlier of equal images: their order tells nothing."""
    rng, n_draws = np.random.default_rng(2), 300
    p = [top_overlap(*rng.integers(0, 3, (2, 48)), 10).p for _ in range(n_draws)]
    assert np.sum(np.less_equal(p, 0.05)) <= stats.binom.ppf(0.95, n_draws, 0.05)
    for _ in range(5):
        first, second = rng.integers(0, 3, (2, 48))
        order = rng.permutation(48)
        moved = top_overlap(first[order], second[order], 10)
        assert moved.p == top_overlap(first, second, 10).p


def test_p_of_tied_lists_is_that_of_the_mean_overlap_over_orders():
    first, second = [2, 1, 1, 1, 0, 0], [1, 1, 2, 1, 0, 2]
    orders = list(itertools.permutations(range(6)))
    values = [
        top_overlap(
            np.add(first, np.array(one) / 10), np.add(second, np.array(other) / 10), 3
        ).value
        for one, other in itertools.product(orders[::13], orders[::17])
    ]
    shared = math.floor(3 * fmean(values))
    assert top_overlap(first, second, 3).p == share_of_lists(6, 3, shared)


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


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((0, 0, 1, 2, 2, 3), (0, 1, 1, 1, 2, 2)),
        ((0, 0, 1, 2, 2, 3), (1, 0, 2, 1, 0, 1)),
        ((0, 0, 0, 1, 1, 1), (0, 1, 1, 2, 0, 0)),
    ],
)
def test_tau_with_ties_takes_the_spread_over_all_orders(a, b):
    permuted = permuted_pairs(a, b)
    spread = math.sqrt(fmean(s**2 for s in permuted))
    of_orders = math.erfc(abs(agreeing_pairs(a, b)[0]) / spread / math.sqrt(2))
    estimate, tau = kendall_tau(a, b), tau_b(a, b)
    error = error_of_z(a, b, tie_factor(a, b))
    of_interval = math.erfc(abs(math.atanh(tau)) / error / math.sqrt(2))
    assert float(estimate.p) == pytest.approx(max(of_orders, of_interval), rel=1e-6)
    found = [float(estimate.low), float(estimate.high)]
    assert found == pytest.approx(ends(tau, 1.959963984540054 * error), rel=1e-6)


@pytest.mark.parametrize("n", [5, 6, 30, 100])
@pytest.mark.parametrize(
    ("options", "quantile"),
    [
        ({}, 1.959963984540054),
        ({"confidence": 0.99}, 2.5758293035489),
        ({"confidence": 0.5}, 0.6744897501960817),
    ],
)
def test_the_interval_takes_the_larger_variance(n, options, quantile):
    rng = np.random.default_rng(n)
    first = rng.normal(size=n)
    second = first + rng.normal(size=n)
    estimate = kendall_tau(first, second, **options)
    expected = ends(tau_b(first, second), quantile * error_of_z(first, second))
    found = [float(estimate.low), float(estimate.high)]
    assert found == pytest.approx(expected, rel=1e-6)


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
    # The inner end is that of a tau lower by half of one of the 190 pairs.
    inner = ends(1 - 1 / 190, 1.959963984540054 * math.sqrt(0.437 / 16))[0]
    assert float(estimate.value) == tau
    found = sorted(tau * float(end) for end in (estimate.low, estimate.high))
    assert found == pytest.approx([inner, 1])
    assert float(estimate.p) == pytest.approx(2 / math.factorial(20))
    assert not recwarn.list


def test_a_score_that_is_the_same_for_all_images_has_no_tau():
    for pair in ([[1.0] * 9, range(9)], [range(9), [1.0] * 9]):
        assert np.isnan(list(kendall_tau(*pair))).all()


def test_fields_of_tau_have_no_dimension():
    assert [np.shape(field) for field in kendall_tau(range(9), range(9))] == [()] * 4


def normals(rng, rho):
    x, noise = rng.normal(size=(2, 20))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def heavy_tails(rng, rho):
    """Bivariate t with 3 degrees of freedom: dependent, even without correlation."""
    return np.stack(normals(rng, rho)) / math.sqrt(3) / np.sqrt(rng.chisquare(3, 20))


def heavy_ties(rng, rho):
    return (np.clip(np.round(x), -1, 1) for x in normals(rng, rho))


# Tau-b of the ties with a correlation of 0.6, of five million images.
@pytest.mark.parametrize(
    ("draw", "correlated"),
    [
        (normals, 2 / math.pi * math.asin(0.6)),
        (heavy_tails, 2 / math.pi * math.asin(0.6)),
        (heavy_ties, 0.4512),
    ],
)
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_intervals_of_tau_cover_it(draw, correlated, rho):
    rng, n_draws = np.random.default_rng(5), 700
    tau = correlated if rho else 0.0
    estimates = [kendall_tau(*draw(rng, rho)) for _ in range(n_draws)]
    covered = sum(bool(e.low <= tau <= e.high) for e in estimates)
    assert covered >= stats.binom.ppf(0.05, n_draws, 0.95)
    assert covered <= stats.binom.ppf(0.999, n_draws, 0.97)
    for estimate in estimates:
        assert estimate.p > 0.05 or not estimate.low <= 0 <= estimate.high
    if not rho:
        significant = sum(e.p <= 0.05 for e in estimates)
        assert significant <= stats.binom.ppf(0.95, n_draws, 0.05)


def test_the_interval_of_many_images_has_the_width_of_all_pairs():
    rng = np.random.default_rng(7)
    first, noise = rng.normal(size=(2, 5000))
    second = first + noise
    many = kendall_tau(first, second)
    width = float(many.high - many.low)
    # The standard error of tau of n normals with correlation rho, for large n.
    rho = math.sqrt(0.5)
    asymptotic = math.sqrt(4 / 5000 * (1 / 9 - (2 / math.pi * math.asin(rho / 2)) ** 2))
    assert width == pytest.approx(2 * 1.96 * asymptotic, rel=0.03)


def test_p_values_of_unrelated_scores_are_as_small_as_chance_has_it():
    rng, n_draws = np.random.default_rng(6), 300
    draws = rng.normal(size=(n_draws, 2, 40))
    p = np.array([kendall_tau(*draw).p for draw in draws])
    for level in (0.05, 0.2, 0.5):
        least, _ = stats.binom.interval(0.999, n_draws, 0.7 * level)
        _, most = stats.binom.interval(0.999, n_draws, level)
        assert least <= (p <= level).sum() <= most
    overlap_p = np.array([top_overlap(*draw, 10).p for draw in draws])
    for shared in (2, 3, 4):
        level = sum(math.comb(10, i) * math.comb(30, 10 - i) for i in range(shared, 11))
        level /= math.comb(40, 10)
        least, most = stats.binom.interval(0.999, n_draws, level)
        assert least <= (overlap_p <= level * (1 + 1e-9)).sum() <= most


@pytest.mark.parametrize(
    ("options", "tail"),
    [({}, 0.025), ({"confidence": 0.99}, 0.005), ({"confidence": 0.5}, 0.25)],
)
def test_each_end_of_the_interval_of_an_accuracy_makes_it_just_unlikely(options, tail):
    found = accuracy([0] * 8 + [1] * 2, [0] * 10, **options)
    low, high = float(found.low), float(found.high)

    def chance(p, numbers):
        return sum(math.comb(10, k) * p**k * (1 - p) ** (10 - k) for k in numbers)

    assert chance(low, range(8, 11)) == pytest.approx(tail)
    assert chance(high, range(9)) == pytest.approx(tail)
    assert float(found.value) == 0.8


@pytest.mark.parametrize("n", [5, 10, 40])
def test_accuracy_intervals_cover_every_accuracy(n):
    hits = np.arange(n + 1)
    found = [accuracy(np.arange(n) < k, np.ones(n, dtype=bool)) for k in hits]
    low, high = np.array([[e.low, e.high] for e in found]).T
    for true in np.linspace(0.01, 0.99, 99):
        covers = (low <= true) & (true <= high)
        assert stats.binom.pmf(hits, n, true)[covers].sum() >= 0.95


@pytest.mark.parametrize(("one", "other"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_predictions_that_do_not_fit_the_targets(one, other):
    with pytest.raises(ValueError, match="as many predictions as targets"):
        accuracy(one, other)
