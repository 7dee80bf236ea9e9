import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import (
    alignment_gap,
    calibrated_layer_mem,
    contrast_estimate,
    delta_layer_mem,
    layer_mem,
    mean_estimate,
    symmetric_layer_mem,
)

CONTRASTS = {
    calibrated_layer_mem: lambda first, second: first - second,
    symmetric_layer_mem: lambda first, second: (first - second) / 2,
    alignment_gap: lambda first, second: (second - first) / (second + first),
}
FIRST = np.array([[0.31, 0.52], [0.55, 0.08], [0.12, 0.77], [0.47, 0.35]])
SECOND = np.array([[0.65, 0.11], [0.42, 0.63], [0.74, 0.29]])
OPTIONS = [{"n_resamples": 300, "seed": 0}, {"n_resamples": 40, "seed": 3}]


def test_layer_mem():
    candidate = [[0.1, 0.3, -0.2], [0.3, 0.4, 0.2], [0.5, 0.2, 0.3]]
    estimate = layer_mem(candidate)
    np.testing.assert_allclose(estimate.value, [0.3, 0.3, 0.1], rtol=1e-12)
    expected = stats.ttest_1samp(candidate, 0).pvalue
    np.testing.assert_allclose(estimate.p, expected, rtol=1e-10)


def test_delta_layer_mem():
    candidate = np.array([[0.1, 0.3, -0.2], [0.3, 0.4, 0.2], [0.5, 0.2, 0.3]])
    estimate = delta_layer_mem(candidate)
    np.testing.assert_allclose(estimate.value, [np.nan, 0, -0.2], atol=1e-15)
    steps = [[0.2, -0.5], [0.1, -0.2], [-0.3, 0.1]]
    expected = stats.ttest_1samp(steps, 0).pvalue
    np.testing.assert_allclose(estimate.p[1:], expected, rtol=1e-10)
    assert all(np.isnan(field[0]) for field in estimate)


def test_delta_layer_mem_of_one_layer():
    estimate = delta_layer_mem([[0.1], [0.3]])
    np.testing.assert_array_equal(list(estimate), np.full((4, 1), np.nan))


def test_calibrated_layer_mem():
    candidate, external = [[0.4, 0.1], [0.6, 0.3]], [[0.1, 0.2], [0.2, 0.2], [0, 0.5]]
    estimate = calibrated_layer_mem(candidate, external)
    np.testing.assert_allclose(estimate.value, [0.4, -0.1], rtol=1e-12)


def test_symmetric_layer_mem():
    candidate, independent = [[0.4, 0.1], [0.6, 0.3]], [[-0.1, 0.2], [-0.2, 0.2]]
    estimate = symmetric_layer_mem(candidate, independent)
    np.testing.assert_allclose(estimate.value, [0.325, 0], rtol=1e-12, atol=1e-15)


def test_alignment_gap():
    candidate, external = [[0.2, 0.4, 0], [0.4, 0.4, 0]], [[0.9, 0.1, 0], [0.3, 0.3, 0]]
    estimate = alignment_gap(candidate, external)
    np.testing.assert_allclose(estimate.value, [0.3 / 0.9, -0.2 / 0.6, 0], rtol=1e-12)


def test_an_offset_enters_only_the_published_estimate():
    memorized, difficulty = 0.07, np.array([[-0.02], [0.0], [0.02]])
    for offset in (-0.1, 0.0, 0.25):
        candidate = offset + memorized + difficulty
        independent, external = offset - memorized + difficulty, offset + difficulty
        assert layer_mem(candidate).value == pytest.approx(offset + memorized)
        assert calibrated_layer_mem(candidate, external).value == pytest.approx(0.07)
        assert symmetric_layer_mem(candidate, independent).value == pytest.approx(0.07)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("estimator", CONTRASTS)
def test_contrasts_are_resampled_as_asked(estimator, options):
    estimate = estimator(FIRST, SECOND, **options)
    expected = contrast_estimate(FIRST, SECOND, CONTRASTS[estimator], **options)
    np.testing.assert_allclose(list(estimate), list(expected), rtol=1e-12)


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
