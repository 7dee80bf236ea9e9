import numpy as np
import pytest

from lightly_memloc.functional import (
    cross_fitted_mean,
    run_correlation,
    spearman_brown,
    split_half_reliability,
    top_scores,
)


def scores(n_runs, n_images, noise, seed=0):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=n_images)
    return image + noise * rng.normal(size=(n_runs, n_images)), image


@pytest.mark.parametrize("n_runs", [4, 5, 6, 9, 12])
def test_reliability_is_the_share_of_variance_between_images(n_runs):
    x, _ = scores(n_runs, 20_000, noise=3.0)
    # The variance of images is 1, that of the noise of a mean 9 / K.
    expected = 1 / (1 + 9 / n_runs)
    assert split_half_reliability(x) == pytest.approx(expected, abs=0.02)
    assert run_correlation(x) == pytest.approx(0.1, abs=0.01)
    assert spearman_brown(0.1, n_runs) == pytest.approx(expected)


def test_halves_by_hand():
    rng = np.random.default_rng(1)
    x = 3 * rng.normal(size=10) + rng.normal(size=(4, 10))
    x[0, 3] = x[2, 7] = np.nan
    r = []
    for one, other in (([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2])):
        means = [np.nanmean(x[half], axis=0) for half in (one, other)]
        r.append(np.corrcoef(means)[0, 1])
    expected = 2 * np.mean(r) / (1 + np.mean(r))
    assert split_half_reliability(x) == pytest.approx(expected)


def test_reliability_that_is_not_known():
    x, _ = scores(3, 50, noise=1.0)
    assert np.isnan(split_half_reliability(x))
    assert np.isnan(split_half_reliability([[1.0, 2.0]] * 4))
    assert np.isnan(run_correlation([[1.0, 2.0, np.nan], [np.nan, 2.0, 3.0]]))
    assert spearman_brown(-0.5, 2) == -0.5


def test_the_runs_that_choose_do_not_score():
    """Without memorisation, chosen scores are high, those of another run are not."""
    x = np.random.default_rng(2).normal(size=(6, 5000))
    top = top_scores(x)
    chosen = np.sort(x.mean(axis=0))[-500:].mean()
    assert chosen > 0.6
    assert np.abs(top).max() < 4 / np.sqrt(500)


def test_top_scores_estimate_the_images_that_runs_choose():
    x, image = scores(6, 20_000, noise=2.0, seed=3)
    top = top_scores(x, share=0.2)
    for run in range(6):
        others = np.delete(x, run, axis=0).mean(axis=0)
        expected = image[np.argsort(-others)[:4000]].mean()
        assert top[run] == pytest.approx(expected, abs=4 * 2 / np.sqrt(4000))


def test_images_of_few_other_runs_are_not_ranked():
    x = np.full((5, 4), np.nan)
    x[:, 0], x[:, 1] = 1.0, 2.0
    x[:2, 2] = 9.0
    assert top_scores(x, share=0.5).tolist() == [2.0] * 5
    assert np.isnan(top_scores([[1.0, np.nan], [np.nan, 2.0]])).all()


def test_the_interval_allows_for_runs_that_choose_for_each_other():
    """Without memorisation, leaving out one run at a time covers zero."""
    rng, covers = np.random.default_rng(4), 0
    for _ in range(300):
        mean = cross_fitted_mean(top_scores(rng.normal(size=(6, 100))))
        covers += mean.low <= 0 <= mean.high
    # 95% less two standard errors.
    assert covers / 300 >= 0.925


def test_p_values_agree_with_the_interval():
    values = np.random.default_rng(5).normal(0.5, 1, (6, 200))
    values[:, 0] = 0.0
    mean = cross_fitted_mean(values)
    assert ((mean.low > 0) == ((mean.p < 0.05) & (mean.value > 0))).all()
    assert mean.p[0] == 1
    two = cross_fitted_mean(values[:2])
    assert np.isnan([two.low, two.p]).all()
    assert not np.isnan(two.error).any()
