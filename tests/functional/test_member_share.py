import math

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import member_share, resampling
from tests.functional.exact import (
    STANDARD_ERRORS,
    assert_p_value,
    assert_quantile,
    relabellings,
    share_as_far,
)

N_RESAMPLES = 20_000
BALANCED = np.array([True, False, True, True, False, False, True, False])


@pytest.fixture(params=[1 << 20, 50])
def block(request, monkeypatch):
    monkeypatch.setattr(resampling, "_BLOCK", request.param)


def wins(winners, n_images):
    """How many units each image wins."""
    return [list(winners).count(image) for image in range(n_images)]


def share(winners, is_member):
    return sum(bool(is_member[winner]) for winner in winners) / len(winners)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    ("winners", "is_member"),
    [
        ([0, 0, 0, 0, 2, 3, 1], BALANCED),
        ([0, 2, 3, 6, 6, 6], BALANCED),
        ([1, 1, 1, 1, 4, 4, 5, 0], BALANCED),
        ([0, 2, 4, 4, 5, 7], np.array([True, False, True, True] + [False] * 4)),
        ([0, 1, 2, 3, 4, 5, 6, 7], BALANCED),
    ],
)
def test_value_and_p_value_against_every_relabelling(winners, is_member):
    chance = is_member.sum() / len(is_member)
    every = [share(winners, labels) - chance for labels in relabellings(is_member)]
    value = share(winners, is_member)
    estimate = member_share(wins(winners, len(is_member)), is_member, N_RESAMPLES)
    assert estimate.value[0] == pytest.approx(value, rel=1e-12)
    exact = share_as_far(every, value - chance)
    assert_p_value(estimate.p[0], exact, N_RESAMPLES)


@pytest.mark.parametrize("n_resamples", [99, 999])
def test_p_value_of_members_alone_is_as_small_as_can_be(n_resamples):
    is_member = np.arange(200) < 100
    estimate = member_share(1.0 * is_member, is_member, n_resamples=n_resamples)
    assert (estimate.value[0], estimate.p[0]) == (1, 1 / (n_resamples + 1))


@pytest.mark.parametrize("n_winners", [2, 3, 5])
def test_p_value_of_distinct_winners_is_hypergeometric(n_winners):
    n, n_members = 20, 10
    is_member = np.arange(n) < n_members
    estimate = member_share(wins(range(n_winners), n), is_member, N_RESAMPLES)
    all_members = math.comb(n - n_winners, n_members - n_winners)
    exact = 2 * all_members / math.comb(n, n_members)
    assert estimate.value[0] == 1
    assert_p_value(estimate.p[0], exact, N_RESAMPLES)


def test_many_units_with_one_winner_are_no_evidence():
    estimate = member_share(wins([2] * 500, 8), BALANCED)
    assert (estimate.value[0], estimate.p[0]) == (1, 1)


def test_chance_level_is_the_share_of_members():
    is_member = np.arange(8) < 2
    estimate = member_share(np.ones(8), is_member)
    assert (estimate.value[0], estimate.p[0]) == (0.25, 1)


def wilson_quantile(share, end, number):
    """The quantile with which an end is Wilson's: the root of his equation."""
    return abs(share - end) / math.sqrt(end * (1 - end) / number)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    "winners", [[0, 0, 0, 1, 2, 3, 3, 5], [0, 1, 2, 3, 4, 4], [0, 0, 3, 5]]
)
def test_interval_is_wilsons_for_the_effective_number_of_images(winners):
    is_member = BALANCED[:6]
    won = wins(winners, 6)
    number = len(winners) ** 2 / sum(w**2 for w in won)
    estimate = member_share(won, is_member, N_RESAMPLES, confidence=0.8)
    assert estimate.p[0] > 0.2
    every = [abs(share(winners, labels) - 0.5) for labels in relabellings(is_member)]
    # Few images win: Student's quantile takes the place of the normal one.
    wider = stats.t.ppf(0.9, number - 1) / stats.norm.ppf(0.9)
    for end in (estimate.low[0], estimate.high[0]):
        quantile = wilson_quantile(share(winners, is_member), end, number) / wider
        assert_quantile(quantile / 2 / math.sqrt(number), 0.8, every, N_RESAMPLES)


def test_the_end_next_to_chance_of_a_significant_share():
    rng = np.random.default_rng(0)
    n = 40
    is_member = np.arange(n) < n // 2
    won = rng.poisson(np.where(is_member, 3.0, 1.0))
    estimate = member_share(won, is_member, 4999)
    assert estimate.p[0] <= 0.05
    number = won.sum() ** 2 / (won**2).sum()
    low, high = (
        wilson_quantile(estimate.value[0], end[0], number)
        for end in (estimate.low, estimate.high)
    )
    wider = stats.t.ppf(0.975, number - 1) / stats.norm.ppf(0.975)
    assert high == pytest.approx(low * wider, rel=1e-9)
    # Without ties the permuted share is about normal, with a finite population.
    deviation = math.sqrt(((won / won.sum()) ** 2).sum() - 1 / n) / 2
    normal = stats.norm.ppf(0.975) * deviation * math.sqrt(n / (n - 1))
    assert low / 2 / math.sqrt(number) == pytest.approx(normal, rel=0.05)


def simulated(rng, n, spread, effect, layers=60, units=64):
    """Wins of images of uneven weight, by layer, for an encoder and its reference."""
    weight = np.exp(spread * rng.standard_normal((2 * n, layers)))
    pair = []
    for first in (True, False):
        own = weight * np.exp(0.3 * spread * rng.standard_normal(weight.shape))
        own[:n] *= np.exp(effect if first else 0)
        own[n:] *= np.exp(0 if first else effect)
        chance = own / own.sum(axis=0)
        pair.append(rng.multinomial(units, chance.T).T)
    return pair, np.arange(2 * n) < n


@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize(("n", "spread"), [(10, 0), (10, 2), (20, 3), (50, 1)])
@pytest.mark.parametrize("effect", [0.0, 1.5])
def test_intervals_cover_and_agree_with_p_values(n, spread, effect, has_reference):
    rng = np.random.default_rng(0)

    def drawn(layers):
        (f, g), is_member = simulated(rng, n, spread, effect, layers)
        return f, g if has_reference else None, is_member

    truth = 0.5
    if effect:
        f, g, is_member = drawn(20_000)
        truth = is_member @ f.mean(axis=1) / 64
        if has_reference:
            truth = 0.5 + (truth - is_member @ g.mean(axis=1) / 64) / 2
    covered = rejected = 0
    repeats = 10
    for seed in range(repeats):
        f, g, is_member = drawn(60)
        estimate = member_share(f, is_member, 299, seed=seed, reference_wins=g)
        significant = estimate.p <= 0.05
        excludes = (estimate.low > 0.5) | (estimate.high < 0.5)
        np.testing.assert_array_equal(excludes, significant)
        covered += ((estimate.low <= truth) & (truth <= estimate.high)).sum()
        rejected += significant.sum()
    # 600 intervals of 93%: fewer than these cover once in a hundred such tests.
    assert covered >= stats.binom.ppf(0.01, 60 * repeats, 0.93)
    if not effect:
        assert rejected <= stats.binom.ppf(1 - 1e-4, 60 * repeats, 0.05)


def test_share_with_a_reference_by_hand():
    is_member = np.array([True, True, False, False])
    f, g = np.array([6, 1, 2, 1]), np.array([3, 1, 4, 2])
    estimate = member_share(f, is_member, reference_wins=g)
    share_f, share_g_exchanged = 7 / 10, 6 / 10
    assert estimate.value[0] == pytest.approx((share_f + share_g_exchanged) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_p_value_with_a_reference_is_that_of_permuted_welch_statistics(seed):
    rng = np.random.default_rng(seed)
    f, g = rng.poisson(3, size=(2, 8))
    difference = f / f.sum() - g / g.sum()

    def statistic(labels):
        return stats.ttest_ind(
            difference[labels], difference[~labels], equal_var=False
        ).statistic

    every = [statistic(labels) for labels in relabellings(BALANCED)]
    exact = share_as_far(every, statistic(BALANCED))
    estimate = member_share(f, BALANCED, N_RESAMPLES, reference_wins=g)
    assert_p_value(estimate.p[0], exact, N_RESAMPLES)


def test_images_that_win_units_of_both_encoders_cancel():
    """They widen the range by chance of f's own share only."""
    rng = np.random.default_rng(0)
    common = rng.choice([0, 40], size=60, p=[0.9, 0.1])
    is_member = np.arange(60) < 30
    f, g = common + rng.poisson(1, size=(2, 60))
    own = member_share(f, is_member)
    pair = member_share(f, is_member, reference_wins=g)
    width = own.null_high[0] - own.null_low[0]
    assert pair.null_high[0] - pair.null_low[0] < 0.25 * width
    # Of a sum of independent differences of mean 0, the variance is known.
    difference = f / f.sum() - g / g.sum()
    deviation = math.sqrt((difference**2).sum() * 60 / 59) / 4
    half = (pair.null_high[0] - pair.null_low[0]) / 2
    assert half == pytest.approx(stats.norm.ppf(0.975) * deviation, rel=0.1)


def test_an_encoder_compared_with_itself_shows_nothing():
    won = np.array([3, 0, 1, 5, 2, 2, 0, 1])
    estimate = member_share(won, BALANCED, reference_wins=won)
    fields = (estimate.value, estimate.low, estimate.high, estimate.p)
    assert [field[0] for field in fields] == [0.5, 0.5, 0.5, 1]


def test_without_live_units_of_the_reference():
    estimate = member_share(np.ones(8), BALANCED, reference_wins=np.zeros(8))
    assert np.isnan(list(estimate)).all()


def test_groups_are_permuted_as_a_whole():
    """Images of a group win together: as single images they are mistaken."""
    rng = np.random.default_rng(0)
    groups = np.arange(64) // 4
    by_image, by_group = 0, 0
    repeats = 200
    for seed in range(repeats):
        is_member = np.isin(groups, rng.permutation(16)[:8])
        weight = np.exp(1.5 * rng.standard_normal(16))[groups]
        won = rng.multinomial(200, weight / weight.sum())
        by_image += member_share(won, is_member, 99, seed=seed).p[0] <= 0.05
        estimate = member_share(won, is_member, 99, seed=seed, groups=groups)
        by_group += estimate.p[0] <= 0.05
        excludes = estimate.low[0] > 0.5 or estimate.high[0] < 0.5
        assert excludes == (estimate.p[0] <= 0.05)
    assert by_image > 0.15 * repeats
    assert by_group <= stats.binom.ppf(1 - 1e-4, repeats, 0.05)


def test_membership_is_permuted_within_strata():
    """Each stratum has one member: its wins decide, not those of other strata."""
    won, strata = np.array([5, 1, 4, 2]), [0, 0, 1, 1]
    is_member = np.array([True, False, True, False])
    estimate = member_share(won, is_member, N_RESAMPLES, strata=strata)
    assert_p_value(estimate.p[0], 2 / 4, N_RESAMPLES)


def test_adjusted_p_values_allow_for_the_number_of_layers():
    rng = np.random.default_rng(0)
    is_member = np.arange(60) < 30
    won = rng.poisson(np.where(is_member, 3.0, 1.5), size=(5, 60)).T
    once = member_share(won[:, 0], is_member)
    assert once.p_adjusted == once.p
    repeated = member_share(np.stack([won[:, 0]] * 5, axis=1), is_member)
    np.testing.assert_array_equal(repeated.p_adjusted, np.repeat(once.p, 5))
    different = member_share(won, is_member, N_RESAMPLES)
    z = np.sort(stats.norm.isf(different.p / 2))
    # Layers that are nearly independent: step-down Sidak.
    sidak = 1 - (1 - 2 * stats.norm.sf(z)) ** np.arange(1, 6)
    sidak = np.maximum.accumulate(sidak[::-1])[::-1]
    np.testing.assert_allclose(
        np.sort(different.p_adjusted)[::-1], sidak, rtol=0.5, atol=2e-3
    )


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("winners", [[0, 0, 0, 0, 2, 3, 1], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_range_by_chance_against_every_relabelling(winners):
    every = [share(winners, labels) for labels in relabellings(BALANCED)]
    estimate = member_share(wins(winners, 8), BALANCED, N_RESAMPLES, confidence=0.8)
    assert_quantile(estimate.null_low[0], 0.1, every, N_RESAMPLES)
    assert_quantile(estimate.null_high[0], 0.9, every, N_RESAMPLES)


def test_without_anything_to_find():
    rng = np.random.default_rng(0)
    repeats, significant = 400, 0
    for seed in range(repeats):
        winners = rng.choice(30, size=100, p=rng.dirichlet(np.ones(30)))
        is_member = rng.permutation(np.arange(30) < 15)
        p = member_share(wins(winners, 30), is_member, n_resamples=199, seed=seed).p[0]
        significant += int(p <= 0.05)
    assert significant <= stats.binom.ppf(1 - 1e-5, repeats, 0.05)


@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_range_by_chance_of_distinct_winners_is_hypergeometric(confidence):
    n, n_winners = 200, 60
    is_member = np.arange(n) % 2 == 0
    estimate = member_share(
        wins(range(n_winners), n),
        is_member,
        n_resamples=N_RESAMPLES,
        confidence=confidence,
    )
    tail = (1 - confidence) / 2
    error = STANDARD_ERRORS * math.sqrt(tail * (1 - tail) / N_RESAMPLES)
    for end, q in ((estimate.null_low, tail), (estimate.null_high, 1 - tail)):
        least, most = stats.hypergeom.ppf([q - error, q + error], n, 100, n_winners)
        assert least / n_winners <= end[0] <= most / n_winners


def test_one_permutation_cannot_exclude_anything():
    estimate = member_share([2, 1, 1, 1, 0, 0, 2, 0], BALANCED, n_resamples=1)
    assert estimate.low[0] == pytest.approx(0, abs=1e-9)
    assert estimate.high[0] == pytest.approx(1, abs=1e-9)


def test_no_live_units():
    estimate = member_share(np.zeros(8), BALANCED)
    np.testing.assert_array_equal(list(estimate), np.full((7, 1), np.nan))


def test_the_seed_decides(monkeypatch):
    def estimate(seed):
        return member_share([2, 1, 1, 1, 0, 0, 2, 0], BALANCED, 300, seed=seed)

    once = estimate(3)
    assert list(estimate(3)) == list(once)
    assert estimate(4).p != once.p
    monkeypatch.setattr(resampling, "_BLOCK", 7)
    np.testing.assert_allclose(list(estimate(3)), list(once), rtol=1e-12)


def test_layers_side_by_side():
    layers = [[2, 1, 1, 1, 0, 0, 2, 0], [0] * 8, [0, 0, 0, 5, 1, 0, 0, 0]]
    together = member_share(np.transpose(layers), BALANCED)
    for layer, won in enumerate(layers):
        alone = member_share(won, BALANCED)
        for name in ("value", "low", "high", "p", "null_low", "null_high"):
            field, expected = getattr(together, name), getattr(alone, name)
            np.testing.assert_allclose(field[layer], expected[0], rtol=1e-12)
