import numpy as np
import pytest

from lightly_memloc.functional import (
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    difference_of_means,
    layer_mem,
    log_ratio_of_means,
    mean_estimate,
    symmetric_layer_mem,
)

CONTRASTS = [calibrated_layer_mem, symmetric_layer_mem, alignment_gap]
FIRST = np.array([[0.31, 0.52], [0.55, 0.08], [0.12, 0.77], [0.47, 0.35]])
SECOND = np.array([[0.65, 0.11], [0.42, 0.63], [0.74, 0.29]])
OPTIONS = [{"n_resamples": 300, "seed": 0}, {"n_resamples": 40, "seed": 3}]


def test_layer_mem():
    candidate = [[0.1, 0.3, -0.2], [0.3, 0.4, 0.2], [0.5, 0.2, 0.3]]
    np.testing.assert_allclose(layer_mem(candidate).value, [0.3, 0.3, 0.1], rtol=1e-12)


def test_delta_layer_mem():
    candidate = np.array([[0.1, 0.3, -0.2], [0.3, 0.4, 0.2], [0.5, 0.2, 0.3]])
    estimate = delta_layer_mem(candidate)
    np.testing.assert_allclose(estimate.value, [np.nan, 0, -0.2], atol=1e-15)
    assert all(np.isnan(field[0]) for field in estimate)


def test_delta_layer_mem_of_one_layer():
    estimate = delta_layer_mem([[0.1], [0.3]])
    np.testing.assert_array_equal(list(estimate), np.full((5, 1), np.nan))


def mean_log_ratio(m):
    """Mean of log(a_g / a_f) = log((1 + m) / (1 - m)), over images."""
    m = np.asarray(m)
    return np.log((1 + m) / (1 - m)).mean(axis=0)


CANDIDATE, OTHER = [[0.4, 0.1], [0.6, 0.3]], [[0.1, 0.2], [0.2, 0.2], [0, 0.5]]


def test_calibrated_layer_mem():
    ratio = mean_log_ratio(CANDIDATE) - mean_log_ratio(OTHER)
    expected = (np.exp(ratio) - 1) / (np.exp(ratio) + 1)
    estimate = calibrated_layer_mem(CANDIDATE, OTHER)
    np.testing.assert_allclose(estimate.value, expected, rtol=1e-12)


def test_symmetric_layer_mem():
    ratio = (mean_log_ratio(CANDIDATE) - mean_log_ratio(OTHER)) / 2
    expected = (np.exp(ratio) - 1) / (np.exp(ratio) + 1)
    estimate = symmetric_layer_mem(CANDIDATE, OTHER)
    np.testing.assert_allclose(estimate.value, expected, rtol=1e-12)


@pytest.mark.parametrize("normalization", ["raw", "range"])
def test_other_scores_are_averaged_as_they_are(normalization):
    calibrated, symmetric = (
        estimator(CANDIDATE, OTHER, normalization=normalization).value
        for estimator in (calibrated_layer_mem, symmetric_layer_mem)
    )
    np.testing.assert_allclose(calibrated, [0.4, -0.1], rtol=1e-12)
    np.testing.assert_allclose(symmetric, [0.2, -0.05], rtol=1e-12)


@pytest.mark.parametrize("estimator", [calibrated_layer_mem, symmetric_layer_mem])
def test_steps_compare_each_layer_with_the_one_before(estimator):
    steps = estimator(CANDIDATE, OTHER, steps=True)
    part = 1 if estimator is calibrated_layer_mem else 0.5
    of_sets = [mean_log_ratio(m)[1] - mean_log_ratio(m)[0] for m in (CANDIDATE, OTHER)]
    ratio = part * (of_sets[0] - of_sets[1])
    assert np.isnan(steps.value[0])
    assert np.isnan(steps.p_adjusted[0])
    assert steps.value[1] == pytest.approx((np.exp(ratio) - 1) / (np.exp(ratio) + 1))
    of_one = estimator([[0.1], [0.2]], [[0.3], [0.1]], steps=True)
    np.testing.assert_array_equal(list(of_one), np.full((5, 1), np.nan))


def test_scores_of_one_are_finite():
    estimate = calibrated_layer_mem([[1.0], [1.0], [0.9]], [[-1.0], [-1.0], [0.0]])
    assert np.isfinite(estimate.value).all()


def test_alignment_gap():
    candidate, external = [[0.2, 0.4, 0], [0.4, 0.4, 0]], [[0.9, 0.1, 0], [0.3, 0.3, 0]]
    estimate = alignment_gap(candidate, external)
    np.testing.assert_allclose(estimate.value, [0.3 / 0.9, -0.2 / 0.6, 0], rtol=1e-12)


@pytest.mark.parametrize("factor", [0.05, 1, 30])
def test_an_offset_enters_only_the_published_estimate(factor):
    rng = np.random.default_rng(0)
    difficulty, noise = rng.lognormal(size=(2, 3, 40, 1))
    memorized = 0.5
    # Both encoders reduce the distances of their own images by half.
    reduced_f = np.array([memorized, 1, 1])[:, None, None]
    reduced_g = np.array([1, memorized, 1])[:, None, None]
    a_f, a_g = factor * reduced_f * difficulty, reduced_g * difficulty * noise
    m = {}
    for offset in (1, factor):
        m[offset] = (a_g - a_f * offset / factor) / (a_g + a_f * offset / factor)
    for estimator, other in ((calibrated_layer_mem, 2), (symmetric_layer_mem, 1)):
        without, offset = (estimator(of[0], of[other]) for of in (m[1], m[factor]))
        np.testing.assert_allclose(list(offset), list(without), rtol=1e-6)
    if factor == 30:
        assert layer_mem(m[factor][0]).value < -0.5 < layer_mem(m[1][0]).value


@pytest.mark.parametrize("options", OPTIONS)
def test_contrasts_are_resampled_as_asked(options):
    design = {"groups": np.array([0, 0, 1, 2, 3, 4, 5]), "strata": np.arange(7) % 2}
    for more in ({}, design):
        given = options | more
        estimate = alignment_gap(FIRST, SECOND, **given)
        expected = log_ratio_of_means(FIRST, SECOND, **given)
        np.testing.assert_allclose(estimate.low, np.tanh(expected.low / 2), rtol=1e-12)
        np.testing.assert_array_equal(estimate.p, expected.p)
        scaled = [np.arctanh(m) for m in (FIRST, SECOND)]
        expected = difference_of_means(*scaled, **given)
        for estimator, part in ((calibrated_layer_mem, 1), (symmetric_layer_mem, 0.5)):
            found = estimator(FIRST, SECOND, **given)
            high = np.tanh(part * expected.high)
            np.testing.assert_allclose(found.high, high, rtol=1e-12)
            np.testing.assert_array_equal(found.p, expected.p)
            np.testing.assert_array_equal(found.p_adjusted, expected.p_adjusted)


@pytest.mark.parametrize("options", OPTIONS)
def test_means_are_resampled_as_asked(options):
    estimate = layer_mem(FIRST, **options)
    np.testing.assert_array_equal(list(estimate), list(mean_estimate(FIRST, **options)))
    steps = delta_layer_mem(FIRST, **options)
    expected = mean_estimate(FIRST[:, 1] - FIRST[:, 0], **options)
    np.testing.assert_array_equal(np.array(list(steps))[:, 1:], list(expected))


@pytest.mark.parametrize("estimator", [layer_mem, delta_layer_mem, *CONTRASTS])
def test_the_seed_decides(estimator):
    sets = np.random.default_rng(0).random((2, 30, 2))
    sets = sets if estimator in CONTRASTS else sets[:1]
    once, again, other = (
        estimator(*sets, n_resamples=50, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(list(once), list(again))
    assert (once.low[1:] != other.low[1:]).all()
    assert (once.high[1:] != other.high[1:]).all()


@pytest.mark.parametrize("estimator", CONTRASTS)
def test_equal_images_have_equal_p_values_in_every_layer(estimator):
    first, second = FIRST[:, :1].repeat(3, 1), SECOND[:, :1].repeat(3, 1)
    estimate = estimator(first, second, n_resamples=500)
    assert all(len(set(field.tolist())) == 1 for field in estimate)
