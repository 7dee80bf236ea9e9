import numpy as np
import pytest
from scipy import integrate, stats

from lightly_memloc.functional.selectivity_null import selectivity_null

N_IMAGES, N_UNITS = 100, 500


def moments(mu):
    """Mean and variance over all images but the most activating one, and UnitMem."""
    ordered = np.sort(mu, axis=0)
    others = ordered[:-1]
    rest = others.mean(axis=0)
    value = (ordered[-1] - rest) / (ordered[-1] + rest)
    return rest, others.var(axis=0), value


def null_and_mean(mu):
    rest, variance, value = moments(mu)
    is_signed = (mu < 0).any(axis=0)
    return selectivity_null(rest, variance, rest, len(mu), is_signed), value.mean()


def averaged_relu(rng, shape):
    """Activations averaged over ten views of each image."""
    image = rng.standard_normal(shape)
    views = image + rng.standard_normal((10, *shape)) - 1
    return np.maximum(views, 0).mean(axis=0)


# Gamma activations are those that the null assumes.
ACTIVATIONS = {
    "gamma": (lambda rng, shape: rng.gamma(2, size=shape), 0.01),
    "sharp gamma": (lambda rng, shape: rng.gamma(0.5, size=shape), 0.02),
    "flat gamma": (lambda rng, shape: rng.gamma(20, size=shape), 0.01),
    "rectified normal": (averaged_relu, 0.03),
    "lognormal": (lambda rng, shape: np.exp(0.3 * rng.normal(size=shape)), 0.06),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("n_images", [N_IMAGES, 1000])
def test_units_without_a_special_image_have_the_null(name, n_images):
    draw, tolerance = ACTIVATIONS[name]
    mu = draw(np.random.default_rng(0), (n_images, N_UNITS))
    null, mean = null_and_mean(mu)
    assert np.mean(null) == pytest.approx(mean, abs=max(tolerance, 1e-3))


def test_a_memorised_image_does_not_raise_the_null():
    mu = np.random.default_rng(0).gamma(2, size=(N_IMAGES, N_UNITS))
    mu[0] = 40
    null, mean = null_and_mean(mu)
    assert mean > 0.85
    assert np.mean(null) == pytest.approx(null_and_mean(mu[1:])[1], abs=0.02)


def test_signed_activations_are_normal():
    rng = np.random.default_rng(0)
    mu = rng.normal(3, 1, (N_IMAGES, N_UNITS))
    rest, variance, _ = moments(mu)
    null = selectivity_null(
        rest, variance, rest, N_IMAGES, np.ones(N_UNITS, dtype=bool)
    )

    def quantile_of_largest(u):
        return stats.norm.ppf(u ** (1 / N_IMAGES))

    largest = 3 + integrate.quad(quantile_of_largest, 0, 1)[0]
    expected = (largest - 3) / (largest + 3)
    assert np.mean(null) == pytest.approx(expected, abs=0.01)


def test_exponential_activations_have_a_harmonic_maximum():
    """Leaving out the largest of N exponential draws lowers their moments."""
    n = 50
    harmonic, square = (sum(1 / k**p for k in range(1, n + 1)) for p in (1, 2))
    mean = (n - harmonic) / (n - 1)
    second_moment = (2 * n - harmonic**2 - square) / (n - 1)
    null = selectivity_null(
        *(np.array([of]) for of in (mean, second_moment - mean**2, mean)),
        n,
        np.array([False]),
    )
    assert null[0] == pytest.approx((harmonic - mean) / (harmonic + mean), abs=0.01)


def test_images_that_are_alike_have_no_largest():
    ones = np.ones(2)
    null = selectivity_null(ones, 0 * ones, ones, 10, np.array([False, True]))
    np.testing.assert_allclose(null, 0, atol=1e-5)


def test_units_active_on_one_image_have_no_null():
    zero = np.zeros(1)
    assert np.isnan(selectivity_null(zero, zero, zero, 10, np.array([False]))).all()
