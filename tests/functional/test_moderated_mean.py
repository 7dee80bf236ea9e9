from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from lightly_memloc.functional import moderated_mean, prior_variance, q_values


def test_the_common_variance_is_found():
    """Variances s2 = common * F(d, prior) come from the model that is fitted."""
    rng = np.random.default_rng(0)
    freedom = rng.integers(2, 7, 40_000)
    variances = 0.25 * rng.f(freedom, 6.0)
    prior, common = prior_variance(variances, freedom)
    assert (prior, common) == pytest.approx((6.0, 0.25), rel=0.05)


def test_the_fit_solves_the_moment_equations():
    rng = np.random.default_rng(1)
    freedom = rng.integers(2, 7, 50)
    variances = rng.f(freedom, 4.0)
    prior, common = prior_variance(variances, freedom)
    z = np.log(variances)
    expected = np.log(common) + special.digamma(freedom / 2) - np.log(freedom / 2)
    expected += np.log(prior / 2) - special.digamma(prior / 2)
    spread = special.polygamma(1, freedom / 2) + special.polygamma(1, prior / 2)
    assert (z - expected).mean() == pytest.approx(0, abs=1e-9)
    about = z - special.digamma(freedom / 2) + np.log(freedom / 2)
    assert about.var(ddof=1) == pytest.approx(spread.mean())


def test_equal_variances_have_all_freedom():
    assert prior_variance([2.0] * 20, [5] * 20)[0] == np.inf
    assert prior_variance([2.0] * 9, [5] * 9) == (0.0, 0.0)


def test_moderated_t_by_hand():
    rng = np.random.default_rng(2)
    x = rng.normal(0.3, 1, (5, 40)) * np.exp(0.4 * rng.normal(size=40))
    x[rng.random(x.shape) < 0.15] = np.nan
    found, by_chance = moderated_mean(x)
    values = [of[~np.isnan(of)] for of in x.T]
    several = [of for of in values if len(of) > 1]
    prior, common = prior_variance(
        [of.var(ddof=1) for of in several], [len(of) - 1 for of in several]
    )
    pooled = sum(len(of) - 1 for of in several)

    def test(of):
        freedom = len(of) - 1
        variance = prior * common + freedom * of.var(ddof=1)
        error = np.sqrt(variance / (prior + freedom) / len(of))
        return of.mean(), error, min(prior + freedom, pooled)

    signs = list(product([1, -1], repeat=5))
    null_p, null_mean = [], []
    for of in x.T:
        for sign in signs:
            exchanged = (of * np.array(sign))[~np.isnan(of)]
            mean, error, freedom = test(exchanged)
            null_mean.append(mean)
            if len(exchanged) > 2:
                null_p.append(stats.t.sf(mean / error, freedom))
    for image, of in enumerate(values):
        mean, error, freedom = test(of)
        assert found.value[image] == pytest.approx(mean)
        assert found.n[image] == len(of)
        assert found.error[image] == pytest.approx(error)
        as_high = np.sum(np.array(null_mean) >= mean - 1e-12) / len(signs)
        assert by_chance[image] == pytest.approx(as_high)
        if len(of) < 3:
            assert np.isnan([found.low[image], found.p[image]]).all()
            continue
        half = stats.t.ppf(0.975, freedom) * error
        assert found.low[image] == pytest.approx(mean - half)
        assert found.high[image] == pytest.approx(mean + half)
        p = stats.t.sf(mean / error, freedom)
        share = np.mean(np.array(null_p) <= p * (1 + 1e-9))
        assert found.p[image] == pytest.approx(share)


def test_few_images_have_students_t():
    x = np.random.default_rng(3).normal(size=(4, 9))
    found, _ = moderated_mean(x)
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    np.testing.assert_allclose([found.low, found.high], expected)
    assert found.error == pytest.approx(stats.sem(x))


def test_images_of_no_run_and_values_that_do_not_vary():
    x = np.array([[1.0, 0.0, np.nan]] * 4)
    found, by_chance = moderated_mean(x)
    assert np.isnan([found.value[2], found.p[2], by_chance[2]]).all()
    # Of 32 exchanges of both images, one has scores of 1 alone.
    assert found.p[0] == 1 / 32
    assert by_chance[0] == 1 / 16
    with pytest.raises(ValueError, match=r"shape \(K, N\), got \(3,\)"):
        moderated_mean([1.0, 2.0, 3.0])


def test_many_runs_are_exchanged_at_random():
    x = np.random.default_rng(4).normal(size=(12, 200))
    (found, _), (again, _), (other, _) = (moderated_mean(x, seed=s) for s in (0, 0, 1))
    assert (found.p == again.p).all()
    assert (found.p != other.p).any()
    # Variances that are equal leave a normal distribution.
    normal = stats.norm.sf(found.value / found.error)
    assert np.abs(found.p - normal).max() < 0.03


def drawn(name, rng, shape):
    x = rng.standard_normal(shape)
    if name == "two variances":
        return x * np.where(rng.random(shape[1]) < 0.1, 3, 1)
    if name == "lognormal":
        return (np.exp(x) - np.exp(0.5)) * rng.choice([-1, 1], shape)
    if name == "t3":
        return rng.standard_t(3, shape)
    return x


@pytest.mark.parametrize("name", ["normal", "two variances", "lognormal", "t3"])
def test_lists_over_runs_control_false_discoveries(name):
    rng, listed, false, found = np.random.default_rng(6), 0, [], []
    for _ in range(80):
        x = drawn(name, rng, (6, 300))
        x[rng.random(x.shape) < 0.1] = np.nan
        listed += (q_values(moderated_mean(x)[0].p) <= 0.1).any()
        x[:, :30] += 4
        hits = q_values(moderated_mean(x)[0].p) <= 0.1
        false.append(hits[30:].sum() / max(1, hits.sum()))
        found.append(hits[:30].mean())
    assert listed / 80 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 80)
    assert np.mean(false) <= 0.1
    assert np.mean(found) > 0.6
