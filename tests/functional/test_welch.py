import math

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import welch_t_test


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
