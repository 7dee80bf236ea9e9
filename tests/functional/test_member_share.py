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
    resamples,
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


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    "winners", [[0, 0, 0, 1, 2, 3, 3, 5], [0, 1, 2, 3, 4, 5], [0, 0, 3]]
)
def test_interval_against_every_resample(winners):
    is_member = BALANCED[:6]
    won = wins(winners, 6)
    every = []
    for drawn in resamples(6):
        n_wins = sum(won[image] for image in drawn)
        if n_wins:
            of_members = sum(won[image] for image in drawn if is_member[image])
            every.append(of_members / n_wins)
    estimate = member_share(
        wins(winners, len(is_member)), is_member, N_RESAMPLES, confidence=0.9
    )
    assert_quantile(estimate.low[0], 0.05, every, N_RESAMPLES * len(every) // 6**6)
    assert_quantile(estimate.high[0], 0.95, every, N_RESAMPLES * len(every) // 6**6)


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


def test_one_resample_has_no_spread():
    estimate = member_share([2, 1, 1, 1, 0, 0, 2, 0], BALANCED, n_resamples=1)
    assert estimate.low == estimate.high
    assert estimate.null_low == estimate.null_high


def test_no_live_units():
    estimate = member_share(np.zeros(8), BALANCED)
    np.testing.assert_array_equal(list(estimate), np.full((6, 1), np.nan))


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
        for field, expected in zip(together, alone, strict=True):
            np.testing.assert_allclose(field[layer], expected[0], rtol=1e-12)
