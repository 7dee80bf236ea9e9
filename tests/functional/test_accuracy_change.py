import math

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import accuracy_change, student_mean

Z = 1.959963984540054


def drawn(rng, n_trials, n_images, common, spread=0.0, effect=0.0, changed=0.1):
    """Answers before and after; trials have a share of the changed answers in common."""

    def signs(*shape):
        gain = rng.random(shape) < (1 + effect / changed) / 2
        return np.where(gain, 1, -1) * (rng.random(shape) < changed)

    same = rng.random((n_trials, n_images)) < common
    change = np.where(same, signs(n_images), signs(n_trials, n_images))
    own = spread * rng.standard_normal((n_trials, 1))
    change = np.where(rng.random(change.shape) < abs(own), np.sign(own), change)
    before = np.where(change == 0, rng.random(n_images) < 0.8, change < 0)
    return before, before + change


def on_own_images(n_trials, n_images):
    """Which of all images each trial is tested on."""
    return np.repeat(np.arange(n_trials), n_images) == np.arange(n_trials)[:, None]


def variance_by_pairs(changes):
    """Variance of the trials' mean, and covariance of each pair of them over images."""
    n_trials = len(changes)
    means = [
        math.fsum(d for d in row if d == d) / sum(d == d for d in row)
        for row in changes
    ]
    mean = math.fsum(means) / n_trials
    of_trials = (
        math.fsum((m - mean) ** 2 for m in means) / n_trials / max(n_trials - 1, 1)
    )
    covariance = np.zeros((n_trials, n_trials))
    number = (changes == changes).sum(axis=1)
    for t, u in np.ndindex(covariance.shape):
        for d, e in zip(changes[t], changes[u], strict=True):
            if d == d and e == e:
                covariance[t, u] += (
                    (d - means[t]) * (e - means[u]) / number[t] / number[u]
                )
    # One image is gained and one lost in addition, as much alike between trials.
    alike = covariance.sum() / np.trace(covariance)
    own = np.trace(covariance) + math.fsum(2 / n**2 for n in number)
    of_images = alike * own / n_trials**2
    pairs = n_trials * (n_trials - 1)
    by_images = (own / n_trials - (alike * own - own) / pairs) / n_trials
    return of_images + max(0, of_trials - by_images), of_trials


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(7, 2, 50), (0, 5, 179), (12, 12, 30)]
)
def test_the_error_of_one_trial_is_mcnemars(gained, lost, n):
    before = np.arange(n) >= gained
    after = (np.arange(n) < gained) | (np.arange(n) >= gained + lost)
    change = accuracy_change([before], [after])
    value, discordant = (gained - lost) / n, (gained + lost) / n
    error = math.sqrt((discordant - value**2 + 2 / n) / n)
    assert float(change.value) == pytest.approx(value)
    assert float(change.error) == pytest.approx(error)
    assert [float(change.low), float(change.high)] == pytest.approx(
        [value - Z * error, value + Z * error]
    )
    assert float(change.p) == pytest.approx(
        math.erfc(abs(value) / error / math.sqrt(2))
    )


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (8, 2), (9, 2), (12, 3), (15, 5)])
def test_p_of_one_trial_is_close_to_the_exact_test_of_mcnemar(gained, lost):
    n = 500
    before = np.arange(n) >= gained
    after = (np.arange(n) < gained) | (np.arange(n) >= gained + lost)
    exact = stats.binomtest(gained, gained + lost).pvalue
    # The mid-p value is smaller by this probability.
    mid = exact - stats.binom.pmf(gained, gained + lost, 0.5)
    assert mid - 0.004 <= accuracy_change([before], [after]).p <= exact + 0.01


def test_repeated_trials_tell_no_more_than_one():
    before, after = drawn(np.random.default_rng(0), 1, 90, common=1)
    one = accuracy_change(before, after)
    for n_trials in (2, 5):
        more = accuracy_change(before.repeat(n_trials, 0), after.repeat(n_trials, 0))
        assert more.n == n_trials
        for name in ("value", "error", "low", "high", "p"):
            assert getattr(more, name) == pytest.approx(float(getattr(one, name)))


@pytest.mark.parametrize("n_trials", [2, 3, 6])
@pytest.mark.parametrize("common", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("own_images", [False, True])
def test_errors_of_trials_and_images_add_up(n_trials, common, own_images):
    rng = np.random.default_rng(n_trials)
    n = 12 * n_trials if own_images else 25
    before, after = drawn(rng, n_trials, n, common, spread=0.1, changed=0.5)
    if own_images:
        tested = on_own_images(n_trials, 12)
        before, after = (np.where(tested, x, np.nan) for x in (before, after))
    change = accuracy_change(before, after, confidence=0.9)
    total, of_trials = variance_by_pairs(after - before)
    assert float(change.error) == pytest.approx(math.sqrt(total))
    freedom = (n_trials - 1) * (total / of_trials) ** 2
    half = max(
        stats.t.isf(0.05, freedom) * math.sqrt(total),
        stats.t.isf(0.05, n_trials - 1) * math.sqrt(of_trials),
    )
    value = float(change.value)
    assert value == pytest.approx(np.nanmean(after - before, axis=1).mean())
    assert [float(change.low), float(change.high)] == pytest.approx(
        [max(value - half, -1), min(value + half, 1)]
    )


def test_the_interval_contains_that_over_trials_alone():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        before, after = drawn(rng, 3, 60, common=0.3, spread=0.1)
        change = accuracy_change(before, after)
        trials = student_mean((after - before).mean(axis=1))
        assert change.low <= trials.low + 1e-12
        assert change.high >= trials.high - 1e-12
        assert change.p >= trials.p - 1e-12


@pytest.mark.parametrize("n_trials", [1, 4])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_answers_that_all_change_alike_leave_an_error(n_trials, value):
    before = np.zeros((n_trials, 50))
    change = accuracy_change(before, before + value)
    assert float(change.value) == value
    assert float(change.error) == pytest.approx(math.sqrt(2) / 50)
    assert float(change.high) == pytest.approx(min(value + Z * math.sqrt(2) / 50, 1))


@pytest.mark.parametrize("n_trials", [1, 3, 5])
@pytest.mark.parametrize("common", [0.95, 0.05])
def test_intervals_of_trials_cover_the_change_and_find_none_by_chance(n_trials, common):
    n_draws = 300
    for effect in (0.0, 0.03):
        rng = np.random.default_rng(3)
        changes = [
            accuracy_change(*drawn(rng, n_trials, 200, common, effect=effect))
            for _ in range(n_draws)
        ]
        covered = sum(bool(c.low <= effect <= c.high) for c in changes)
        assert covered >= stats.binom.ppf(0.05, n_draws, 0.95)
        for change in changes:
            assert (change.p <= 0.05) == (not change.low <= 0 <= change.high)


def test_trials_of_different_effects_find_none_by_chance():
    """Three trials whose own effects outweigh the choice of images."""
    rng, n_draws = np.random.default_rng(4), 400
    p = [accuracy_change(*drawn(rng, 3, 200, 0.3, 0.05)).p for _ in range(n_draws)]
    assert np.sum(np.less_equal(p, 0.05)) <= stats.binom.ppf(0.95, n_draws, 0.05)


@pytest.mark.parametrize(
    ("before", "after"),
    [([1, 0], [1, 0]), ([[1, 0]], [[1, 0, 1]]), ([[]], [[]]), (np.ones((0, 3)),) * 2],
)
def test_answers_of_other_shapes_are_refused(before, after):
    with pytest.raises(ValueError, match=r"of shape \(T, N\), got"):
        accuracy_change(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [([[1, np.nan]], [[1, 0]]), ([[1, 0], [np.nan] * 2], [[1, 0], [np.nan] * 2])],
)
def test_images_tested_only_once_and_trials_without_images_are_refused(before, after):
    with pytest.raises(ValueError, match="at least one image per trial"):
        accuracy_change(before, after)
