import math
import statistics

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import (
    difference_of_means,
    log_ratio_of_means,
    mean_estimate,
    resampling,
    student_mean,
    welch_t_test,
)
from tests.functional.exact import (
    STANDARD_ERRORS,
    assert_p_value,
    assert_quantile,
    relabellings,
    resamples,
    share_as_far,
)

FIRST, SECOND = [0.31, 0.55, 0.12, 0.47], [0.05, 0.22, 0.34, 0.18]


@pytest.fixture(params=[1 << 20, 50])
def block(request, monkeypatch):
    monkeypatch.setattr(resampling, "_BLOCK", request.param)


def studentized(first, second):
    """The difference of means in standard errors, by the textbook."""
    error = math.sqrt(sum(np.var(of, ddof=1) / len(of) for of in (first, second)))
    difference = np.mean(first) - np.mean(second)
    if difference == 0:
        return 0.0
    return math.inf if error == 0 else difference / error


def log_ratio(first, second):
    """The log ratio of means in standard errors, by the delta method."""
    parts = [np.var(of, ddof=1) / len(of) / np.mean(of) ** 2 for of in (first, second)]
    ratio = math.log(np.mean(second) / np.mean(first))
    return 0.0 if ratio == 0 else ratio / math.sqrt(sum(parts))


def every_statistic(statistic, first, second, labellings=None):
    """The statistic of every relabelling of the images."""
    pooled = np.array([*first, *second])
    labels = np.arange(len(pooled)) < len(first)
    with np.errstate(divide="ignore", invalid="ignore"):
        return [
            statistic(pooled[of], pooled[~of])
            for of in labellings or relabellings(labels)
        ]


CONTRASTS = {
    "difference": (difference_of_means, studentized, lambda a, b: a - b),
    "log ratio": (log_ratio_of_means, log_ratio, lambda a, b: math.log(b / a)),
}


@pytest.mark.parametrize("n", [2, 3, 20, 500])
def test_mean_of_each_layer(n):
    values = np.random.default_rng(n).normal([0.0, 0.1, 5.0], [1.0, 1.0, 0.01], (n, 3))
    estimate = mean_estimate(values, n_resamples=99)
    np.testing.assert_allclose(estimate.value, [sum(c) / n for c in values.T])
    assert all(field.shape == (3,) for field in estimate)
    # Never more certain than Student's t.
    test = stats.ttest_1samp(values, 0)
    interval = test.confidence_interval()
    assert (estimate.p >= test.pvalue * (1 - 1e-9)).all()
    assert (estimate.low <= interval.low + 1e-9).all()
    assert (estimate.high >= interval.high - 1e-9).all()


@pytest.mark.usefixtures("block")
def test_mean_against_every_resample():
    values = np.array([0.3, -0.2, 2.5, 0.9, 0.4, 1.0])
    drawn = values[resamples(6)]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(6)
    with np.errstate(divide="ignore", invalid="ignore"):
        every = np.abs((drawn.mean(axis=1) - values.mean()) / errors)
    every[errors < 1e-12] = np.inf
    estimate = mean_estimate(values, confidence=0.8, n_resamples=20_000)
    error = stats.sem(values)
    half = (estimate.high[0] - estimate.low[0]) / 2 / error
    assert_quantile(half, 0.8, every, 20_000)
    assert_p_value(estimate.p[0], np.mean(every >= values.mean() / error), 20_000)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_mean_interval_against_the_normal_one(confidence):
    n, n_resamples = 1000, 8000
    values = np.random.default_rng(0).normal(2.0, 3.0, n)
    estimate = mean_estimate(values, confidence, n_resamples=n_resamples)
    error = values.std() / math.sqrt(n)
    low, high = stats.norm.interval(confidence, values.mean(), error)
    # Standard error of a sample quantile: sqrt(q (1 - q) / n) / density.
    density = stats.norm.pdf(stats.norm.ppf((1 + confidence) / 2)) * 2 / error
    off = math.sqrt(confidence * (1 - confidence) / n_resamples) / density
    assert abs(estimate.low[0] - low) < STANDARD_ERRORS * off
    assert abs(estimate.high[0] - high) < STANDARD_ERRORS * off


def test_mean_interval_of_skewed_values_covers_the_mean_where_students_t_does_not():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(20, 1000))
    estimate = mean_estimate(values, n_resamples=499)
    truth = math.exp(0.5)
    student = stats.ttest_1samp(values, 0).confidence_interval()
    covered, by_student = (
        np.mean((of.low <= truth) & (truth <= of.high)) for of in (estimate, student)
    )
    assert by_student < 0.89
    assert covered > by_student + 0.02


def test_mean_of_equal_values():
    zero, tenth = (mean_estimate([v] * 5, n_resamples=99) for v in (0.0, 0.1))
    assert (zero.value, zero.low, zero.high, zero.p) == (0, 0, 0, 1)
    assert (tenth.value, tenth.low, tenth.high) == (0.1, 0.1, 0.1)
    assert tenth.p == 0.01


@pytest.mark.parametrize("values", [[1.0], [], [[1.0, 2.0]], np.zeros((2, 2, 2))])
def test_mean_of_too_few_images(values):
    with pytest.raises(ValueError, match="N >= 2"):
        mean_estimate(values)


def test_mean_of_groups_is_that_of_their_images_with_the_error_of_their_sums():
    values = np.array([0.1, 0.5, 0.4, 0.9, 0.2, 0.3, 0.7])
    groups = np.array([2, 0, 0, 1, 3, 3, 3])
    estimate = mean_estimate(values, groups=groups, n_resamples=4000)
    assert estimate.value[0] == pytest.approx(values.mean(), rel=1e-12)
    # Sandwich estimator: sum over groups of the summed deviations squared.
    sums = [(values[groups == g] - values.mean()).sum() for g in range(4)]
    error = math.sqrt(4 / 3 * sum(s**2 for s in sums)) / 7
    every = []
    for drawn in resamples(4):
        rows = [np.flatnonzero(groups == g) for g in drawn]
        mean = values[np.concatenate(rows)].mean()
        of = [(values[r] - mean).sum() for r in rows]
        size = sum(map(len, rows))
        spread = math.sqrt(4 / 3 * sum(s**2 for s in of)) / size
        off = abs(mean - values.mean())
        every.append(math.inf if spread < 1e-12 else off / spread)
    t = values.mean() / error
    expected = max(np.mean(np.array(every) >= t), 2 * stats.t.sf(t, 3))
    assert_p_value(estimate.p[0], expected, 4000)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize(
    ("first", "second"),
    [(FIRST, SECOND), (FIRST[:3], [*SECOND, 0.9]), ([3, 3, 2, 2], [3, 2, 2, 2])],
)
def test_contrast_against_every_relabelling(first, second, contrast):
    estimator, statistic, of_means = CONTRASTS[contrast]
    every = np.abs(every_statistic(statistic, first, second))
    estimate = estimator(first, second, confidence=0.8, n_resamples=20_000)
    value = of_means(np.mean(first), np.mean(second))
    assert estimate.value[0] == pytest.approx(value, rel=1e-12)
    t = abs(statistic(np.array(first), np.array(second)))
    assert_p_value(estimate.p[0], share_as_far(every, t), 20_000)
    half = (estimate.high[0] - estimate.low[0]) / 2 / (abs(value) / t)
    assert_quantile(half / (1 + 2e-9), 0.8, every, 20_000)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_contrast_of_each_layer(contrast):
    estimator, statistic, _ = CONTRASTS[contrast]
    rng = np.random.default_rng(0)
    first, second = rng.uniform(1, 2, (4, 3)), rng.uniform(1, 3, (3, 3))
    estimate = estimator(first, second, n_resamples=10_000)
    for layer in range(3):
        sets = first[:, layer], second[:, layer]
        every = every_statistic(statistic, *sets)
        assert_p_value(estimate.p[layer], share_as_far(every, statistic(*sets)), 10_000)


def test_contrast_within_strata():
    strata = ["a", "b", "b", "b", "a", "b", "a"]
    labels = np.arange(7) < 4
    within = [
        of
        for of in relabellings(labels)
        if of[[0, 4, 6]].sum() == 1  # one of stratum a is in the first set
    ]
    pooled = np.array([*FIRST, *SECOND[:3]])
    deviations = pooled.copy()
    for stratum in ("a", "b"):
        of = np.array(strata) == stratum
        deviations[of] -= pooled[of].mean()

    def statistic(of):
        error = sum(np.var(deviations[s], ddof=1) / s.sum() for s in (of, ~of))
        return (pooled[of].mean() - pooled[~of].mean()) / math.sqrt(error)

    every = [statistic(of) for of in within]
    estimate = difference_of_means(FIRST, SECOND[:3], strata=strata, n_resamples=20_000)
    exact = share_as_far(every, statistic(labels))
    assert_p_value(estimate.p[0], exact, 20_000)


def test_contrast_of_groups():
    groups = [5, 5, 6, 7, 1, 2, 2]
    first, second = [0.9, 0.8, 0.4, 0.6], [0.1, 0.3, 0.2]
    pooled, of_image = np.array([*first, *second]), np.array(groups)
    every = []
    for chosen in relabellings([True] * 3 + [False] * 2):
        labels = np.isin(of_image, np.array([1, 2, 5, 6, 7])[chosen])
        parts = []
        for of in (labels, ~labels):
            mean, ids = pooled[of].mean(), np.unique(of_image[of])
            sums = [(pooled[of_image == g] - mean).sum() for g in ids]
            error = len(ids) / (len(ids) - 1) * sum(s**2 for s in sums)
            parts.append((mean, error / of.sum() ** 2))
        (m1, e1), (m2, e2) = parts
        every.append((tuple(labels), (m1 - m2) / math.sqrt(e1 + e2)))
    observed = dict(every)[tuple(np.arange(7) < 4)]
    exact = share_as_far([t for _, t in every], observed)
    estimate = difference_of_means(first, second, groups=groups, n_resamples=20_000)
    assert_p_value(estimate.p[0], exact, 20_000)


def test_a_group_in_both_sets_is_refused():
    with pytest.raises(ValueError, match="Group 1 has images of both sets"):
        difference_of_means([1.0, 2.0], [3.0, 4.0], groups=[0, 1, 1, 2])


def test_contrast_of_separate_sets_is_as_significant_as_can_be():
    estimate = difference_of_means(np.arange(50), np.arange(50) + 1000, n_resamples=999)
    assert estimate.p[0] == estimate.p_adjusted[0] == 1 / 1000


def test_two_images_of_each_set_allow_any_difference():
    estimate = difference_of_means([3.0, 3.0], [1.0, 1.0])
    assert (estimate.low[0], estimate.high[0]) == (-np.inf, np.inf)


def test_contrast_of_equal_sets():
    estimate = difference_of_means([0.1, 0.2, 0.7], [0.7, 0.1, 0.2])
    assert estimate.value[0] == pytest.approx(0, abs=1e-15)
    assert estimate.p[0] == 1


def test_means_of_zero_have_a_ratio_of_one():
    estimate = log_ratio_of_means(np.zeros((5, 1)), np.zeros((5, 1)))
    assert (estimate.value, estimate.low, estimate.high, estimate.p) == (0, 0, 0, 1)


CLUSTERS = {"groups": np.arange(48) // 4}
SCENARIOS = {
    "skewed": (lambda rng, n: rng.exponential(size=n) - 1, (12, 17), {}),
    "unequal variances": (
        lambda rng, n: rng.normal(size=n) * (3 if n == 10 else 1),
        (10, 50),
        {},
    ),
    "groups": (
        lambda rng, n: rng.normal(size=n // 4).repeat(4) + rng.normal(size=n) / 2,
        (24, 24),
        CLUSTERS,
    ),
    "strata": (
        lambda rng, n: np.arange(n) % 4 + rng.normal(size=n) / 2,
        (12, 12),
        {"strata": np.arange(24) % 4},
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_contrast_finds_nothing_at_its_rate_and_covers_an_effect(scenario):
    draw, sizes, design = SCENARIOS[scenario]
    rng = np.random.default_rng(0)
    repeats, false, covered = 400, 0, 0
    for seed in range(repeats):
        first, second = (draw(rng, n) for n in sizes)
        options = {"n_resamples": 199, "seed": seed, **design}
        false += difference_of_means(first, second, **options).p[0] <= 0.05
        estimate = difference_of_means(first + 1, second, **options)
        covered += estimate.low[0] <= 1 <= estimate.high[0]
    lowest, highest = stats.binom.ppf([1e-4, 1 - 1e-4], repeats, 0.05)
    assert lowest <= false <= highest
    assert lowest <= repeats - covered <= highest


N_MANY = 21_000
MANY = {
    "mean": (lambda x, y, **of: mean_estimate(x, **of), {}),
    "difference": (difference_of_means, {}),
    "log ratio": (log_ratio_of_means, {}),
    "strata": (difference_of_means, {"strata": np.arange(2 * N_MANY) % 800}),
    "groups": (
        difference_of_means,
        {
            "groups": np.minimum(
                np.arange(2 * N_MANY), N_MANY + np.arange(2 * N_MANY) // 2
            )
        },
    ),
}


def many_images(rng, n_columns):
    """Skewed values; in the first set they are larger by .02 of their mean."""
    values = rng.lognormal(0, 1, (2, N_MANY, n_columns))
    return values[0] * 1.02, values[1]


@pytest.mark.parametrize("name", MANY)
def test_blocks_of_many_images_estimate_what_the_images_do(name, monkeypatch):
    estimate, design = MANY[name]
    first, second = many_images(np.random.default_rng(0), 3)
    # Two sets of resamples differ by chance, as blocks and images may.
    in_blocks = estimate(first, second, **design)
    monkeypatch.setattr(resampling, "MANY_GROUPS", 10**9)
    by_image = estimate(first, second, **design)
    np.testing.assert_allclose(in_blocks.value, by_image.value, rtol=1e-12)
    widths = (in_blocks.high - in_blocks.low) / (by_image.high - by_image.low)
    # The 95% quantile of 2000 statistics has a standard error of 2%.
    np.testing.assert_allclose(widths, 1, atol=4 * np.hypot(0.021, 0.021))
    for field in ("p", "p_adjusted"):
        one, other = getattr(in_blocks, field), getattr(by_image, field)
        assert (np.abs(one - other) < 0.01 + 0.1 * np.sqrt(other)).all()


@pytest.mark.parametrize("name", MANY)
def test_blocks_of_many_images_find_nothing_at_their_rate_and_cover(name):
    estimate, design = MANY[name]
    rng, truth = np.random.default_rng(1), {"mean": 1.02 * np.sqrt(np.e)}
    truth |= dict.fromkeys(("difference", "strata", "groups"), 0.02 * np.sqrt(np.e))
    truth["log ratio"] = -np.log(1.02)
    n_columns, false, covered = 100, 0, 0
    for seed in range(3):
        first, second = many_images(rng, n_columns)
        found = estimate(first, second, n_resamples=499, seed=seed, **design)
        covered += ((found.low <= truth[name]) & (truth[name] <= found.high)).sum()
        found = estimate(
            first / 1.02 - (name == "mean") * np.sqrt(np.e),
            second,
            n_resamples=499,
            seed=seed,
            **design,
        )
        false += (found.p <= 0.05).sum()
    # Data sets that share their resamples vary a little more together.
    lowest, highest = stats.binom.ppf([1e-5, 1 - 1e-5], 3 * n_columns, 0.05)
    assert lowest <= false <= highest
    assert lowest <= 3 * n_columns - covered <= highest


@pytest.mark.parametrize("estimator", [mean_estimate, difference_of_means])
def test_an_interval_excludes_zero_exactly_if_p_is_small(estimator):
    rng = np.random.default_rng(0)
    sets = [rng.integers(0, 4, (8, 600)) - 1.0, rng.integers(0, 4, (7, 600)) - 2.0]
    found = estimator(*sets[: 1 if estimator is mean_estimate else 2], n_resamples=199)
    excluded = (found.low > 0) | (found.high < 0)
    assert 50 < excluded.sum() < 550
    np.testing.assert_array_equal(excluded, found.p <= 0.05)


def test_layers_are_adjusted_together():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(15, 20)), rng.normal(size=(15, 20))
    first[:, 0] += 3
    found = difference_of_means(first, second, n_resamples=999)
    assert found.p_adjusted[0] <= 0.01
    assert (found.p_adjusted[1:] > 0.05).all()
    assert (found.p_adjusted >= found.p).all()
    twice = difference_of_means(
        first.repeat(2, axis=1), second.repeat(2, axis=1), n_resamples=999
    )
    np.testing.assert_array_equal(twice.p_adjusted, found.p_adjusted.repeat(2))


def test_contrast_shapes_do_not_fit():
    with pytest.raises(ValueError, match="columns"):
        difference_of_means(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="first"):
        difference_of_means([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="second"):
        difference_of_means([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="a group for each of 4 images"):
        difference_of_means([1.0, 2.0], [1.0, 3.0], groups=[1, 2, 3])
    with pytest.raises(ValueError, match="two groups in both sets, got 1 and 2"):
        difference_of_means([1.0, 2.0], [1.0, 3.0], groups=[1, 1, 3, 4])


@pytest.mark.parametrize(("confidence", "needed"), [(0.95, 19), (0.8, 4)])
def test_too_few_resamples_for_an_interval(confidence, needed):
    for estimate in (
        lambda n: mean_estimate(FIRST, confidence, n_resamples=n),
        lambda n: difference_of_means(FIRST, SECOND, confidence, n_resamples=n),
    ):
        estimate(needed)
        with pytest.raises(ValueError, match=f"at least {needed} resamples"):
            estimate(needed - 1)


@pytest.mark.parametrize(
    "estimate",
    [
        lambda **options: mean_estimate(FIRST, n_resamples=300, **options),
        lambda **options: log_ratio_of_means(FIRST, SECOND, n_resamples=300, **options),
    ],
)
def test_the_seed_decides(estimate, monkeypatch):
    once = estimate(seed=3)
    assert list(estimate(seed=3)) == list(once)
    assert list(estimate(seed=4)) != list(once)
    monkeypatch.setattr(resampling, "_BLOCK", 7)
    np.testing.assert_allclose(list(estimate(seed=3)), list(once), rtol=1e-12)


NAN = math.nan


@pytest.mark.parametrize("n_values", [3, 4, 9, 30])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_interval_and_p_value_are_students_t(n_values, confidence):
    values = np.random.default_rng(n_values).normal(0.3, 1, size=(n_values, 2, 5))
    found = student_mean(values, confidence)
    test = stats.ttest_1samp(values, 0, axis=0)
    interval = test.confidence_interval(confidence)
    np.testing.assert_allclose(found.value, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.error, stats.sem(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.low, interval.low, rtol=1e-9)
    np.testing.assert_allclose(found.high, interval.high, rtol=1e-9)
    np.testing.assert_allclose(found.p, test.pvalue, rtol=1e-9)
    assert found.n.tolist() == [[n_values] * 5] * 2


def test_p_values_far_in_the_tail():
    values = np.random.default_rng(0).normal(1, 1e-4, size=12)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert 0 < expected < 1e-40
    assert student_mean(values).p == pytest.approx(expected, rel=1e-6, abs=0)


def test_values_that_are_missing_do_not_count():
    rng = np.random.default_rng(4)
    values = rng.normal(0.5, 1, size=(6, 7))
    for column in range(7):
        values[rng.permutation(6)[:column], column] = NAN
    found = student_mean(values)
    assert found.n.tolist() == [6, 5, 4, 3, 2, 1, 0]
    for column in range(7):
        x = values[:, column][~np.isnan(values[:, column])].tolist()
        names = ("value", "low", "high", "p", "error")
        at = {name: float(getattr(found, name)[column]) for name in names}
        if len(x) > 2:
            test = stats.ttest_1samp(x, 0)
            low, high = test.confidence_interval()
            expected = statistics.fmean(x), low, high, test.pvalue
            shown = at["value"], at["low"], at["high"], at["p"]
            assert shown == pytest.approx(expected, rel=1e-9)
        else:
            assert all(math.isnan(at[name]) for name in ("low", "high", "p"))
        if len(x) > 1:
            error = statistics.stdev(x) / math.sqrt(len(x))
            assert at["error"] == pytest.approx(error, rel=1e-12)
        else:
            assert math.isnan(at["error"])
    assert found.value[4] == pytest.approx(np.nanmean(values[:, 4]))
    assert found.value[5] == np.nanmax(values[:, 5])
    assert np.isnan(found.value[6])


def test_two_values_have_an_error_but_no_interval():
    found = student_mean([0.1, 0.5])
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx(0.2)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_values_that_agree_exactly():
    found = student_mean([[0.25, 0.0]] * 4)
    assert found.value.tolist() == found.low.tolist() == found.high.tolist()
    assert found.error.tolist() == [0, 0]
    assert found.p.tolist() == [0, 1]


def formula(first, second):
    means, errors, freedom = [], [], []
    for sample in (first, second):
        n, mean = len(sample), sum(sample) / len(sample)
        means.append(mean)
        errors.append(sum((x - mean) ** 2 for x in sample) / (n - 1) / n)
        freedom.append(n - 1)
    t = (means[0] - means[1]) / math.sqrt(sum(errors))
    df = sum(errors) ** 2 / sum(e**2 / f for e, f in zip(errors, freedom, strict=True))
    return t, 2 * stats.t.sf(abs(t), df)


@pytest.mark.parametrize(("n", "m", "spread"), [(5, 30, 4.0), (12, 12, 1.0), (2, 9, 9)])
def test_formula(n, m, spread):
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.5, 1, n), rng.normal(0, spread, m)
    t, p = welch_t_test(first, second)
    assert t.shape == p.shape == ()
    assert (float(t), float(p)) == pytest.approx(formula(first, second), rel=1e-10)


def test_layers_are_tested_one_by_one():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(8, 3)), rng.normal(1, 2, size=(15, 3))
    t, p = welch_t_test(first, second)
    expected = [formula(first[:, i], second[:, i]) for i in range(3)]
    np.testing.assert_allclose(np.stack([t, p], axis=1), expected, rtol=1e-10)


@pytest.mark.filterwarnings("error")
def test_sets_that_do_not_vary_tell_nothing():
    t, p = welch_t_test([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    assert np.isnan([t[0], p[0]]).all()
    assert (t[1], p[1]) == pytest.approx(formula([1, 1], [0, 1, 2]))


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1)])
def test_fewer_than_two_images(n, m):
    with pytest.raises(ValueError, match="two images"):
        welch_t_test(np.arange(n), np.arange(m))


def test_simultaneous_intervals_cover_all_layers_at_once():
    rng, covered = np.random.default_rng(0), []
    for seed in range(200):
        first, second = rng.normal(size=(2, 30, 6))
        found = difference_of_means(first, second, n_resamples=199, seed=seed)
        inside = (found.simultaneous_low <= 0) & (found.simultaneous_high >= 0)
        covered.append(inside.all())
        # They exclude 0 in some layer exactly if that layer's adjusted p is small.
        assert inside.all() == (found.p_adjusted.min() > 0.05)
        assert (found.simultaneous_low <= found.low).all()
        assert (found.simultaneous_high >= found.high).all()
    # The binomial error of 95% is 1.5 percentage points.
    assert 0.91 <= np.mean(covered) <= 0.99


def test_the_simultaneous_interval_of_one_layer_is_its_interval():
    first, second = np.random.default_rng(0).normal(size=(2, 30, 1))
    found = difference_of_means(first, second)
    assert found.simultaneous_low == found.low
    unknown = difference_of_means(
        np.concatenate([first, first * 0], axis=1),
        np.concatenate([second, second * 0], axis=1),
    )
    assert unknown.simultaneous_low[0] == pytest.approx(found.low[0])
