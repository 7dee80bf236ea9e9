import itertools

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import (
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    symmetric_layer_mem,
)
from tests.functional.exact import (
    assert_p_value,
    assert_quantile,
    relabellings,
    resamples,
    share_as_far,
)

N_RESAMPLES = 20_000
CONTRASTS = {
    calibrated_layer_mem: lambda first, second: first - second,
    symmetric_layer_mem: lambda first, second: (first - second) / 2,
    alignment_gap: lambda first, second: (second - first) / (second + first),
}
FIRST, SECOND = np.array([0.31, 0.55, 0.12, 0.47]), np.array([0.65, 0.42, 0.74, 0.38])


def test_layer_mem():
    candidate = [[0.1, 0.3, -0.2], [0.3, 0.4, 0.2], [0.5, 0.2, 0.3]]
    estimate = layer_mem(candidate)
    np.testing.assert_allclose(estimate.value, [0.3, 0.3, 0.1], rtol=1e-12)
    expected = stats.ttest_1samp(candidate, 0).pvalue
    np.testing.assert_allclose(estimate.p, expected, rtol=1e-10)


def test_layer_mem_interval_against_every_resample():
    every = FIRST[resamples(4)].mean(axis=1)
    estimate = layer_mem(FIRST[:, None], n_resamples=N_RESAMPLES)
    assert_quantile(estimate.low[0], 0.025, every, N_RESAMPLES)
    assert_quantile(estimate.high[0], 0.975, every, N_RESAMPLES)


def test_delta_layer_mem():
    candidate = np.array([[0.1, 0.3, -0.2], [0.3, 0.4, 0.2], [0.5, 0.2, 0.3]])
    estimate = delta_layer_mem(candidate, n_resamples=N_RESAMPLES)
    np.testing.assert_allclose(estimate.value, [np.nan, 0, -0.2], atol=1e-15)
    steps = [[0.2, -0.5], [0.1, -0.2], [-0.3, 0.1]]
    expected = stats.ttest_1samp(steps, 0).pvalue
    np.testing.assert_allclose(estimate.p[1:], expected, rtol=1e-10)
    for layer in (1, 2):
        every = np.array(steps)[:, layer - 1][resamples(3)].mean(axis=1)
        assert_quantile(estimate.low[layer], 0.025, every, N_RESAMPLES)
        assert_quantile(estimate.high[layer], 0.975, every, N_RESAMPLES)
    assert all(np.isnan(field[0]) for field in estimate)


def test_delta_layer_mem_of_one_layer():
    estimate = delta_layer_mem([[0.1], [0.3]])
    np.testing.assert_array_equal(estimate, np.full((4, 1), np.nan))


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


@pytest.mark.parametrize("estimator", CONTRASTS)
@pytest.mark.parametrize("n_first", [4, 3])
def test_p_value_against_every_relabelling(estimator, n_first):
    contrast, first = CONTRASTS[estimator], FIRST[:n_first]
    pooled = np.concatenate([first, SECOND])
    every = [
        contrast(pooled[labels].mean(), pooled[~labels].mean())
        for labels in relabellings(np.arange(len(pooled)) < n_first)
    ]
    value = contrast(first.mean(), SECOND.mean())
    estimate = estimator(first[:, None], SECOND[:, None], N_RESAMPLES)
    assert estimate.value[0] == pytest.approx(value, rel=1e-12)
    assert_p_value(estimate.p[0], share_as_far(every, value), N_RESAMPLES)


@pytest.mark.parametrize("estimator", CONTRASTS)
def test_interval_against_every_resample(estimator):
    drawn = resamples(4)
    every = [
        CONTRASTS[estimator](first, second)
        for first, second in itertools.product(
            FIRST[drawn].mean(axis=1), SECOND[drawn].mean(axis=1)
        )
    ]
    estimate = estimator(FIRST[:, None], SECOND[:, None], N_RESAMPLES)
    assert_quantile(estimate.low[0], 0.025, every, N_RESAMPLES)
    assert_quantile(estimate.high[0], 0.975, every, N_RESAMPLES)


@pytest.mark.parametrize("estimator", CONTRASTS)
def test_equal_images_have_equal_p_values_in_every_layer(estimator):
    first, second = FIRST[:, None].repeat(3, 1), SECOND[:, None].repeat(3, 1)
    estimate = estimator(first, second, 500)
    assert all(len(set(field.tolist())) == 1 for field in estimate)
