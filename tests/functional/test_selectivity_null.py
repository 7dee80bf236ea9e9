import numpy as np
import pytest

from lightly_memloc.functional.selectivity_null import TOP, selectivity_null

N_UNITS = 4000


def null_and_mean(mu):
    """The mean null of units, and their mean UnitMem."""
    ordered = -np.sort(-mu, axis=0)
    rest = ordered[1:].mean(axis=0)
    value = (ordered[0] - rest) / (ordered[0] + rest)
    return selectivity_null(ordered[:TOP], rest).mean(), value.mean()


def averaged_relu(rng, shape):
    """Activations averaged over ten views of each image."""
    image = rng.standard_normal(shape)
    views = image + rng.standard_normal((10, *shape)) - 1
    return np.maximum(views, 0).mean(axis=0)


ACTIVATIONS = {
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "gamma": lambda rng, shape: rng.gamma(2, size=shape),
    "sharp gamma": lambda rng, shape: rng.gamma(0.5, size=shape),
    "rectified normal": averaged_relu,
    "normal": lambda rng, shape: rng.normal(5, 1, shape),
    "lognormal": lambda rng, shape: np.exp(0.5 * rng.normal(size=shape)),
    "uniform": lambda rng, shape: rng.random(shape),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("n_images", [100, 400])
def test_units_without_a_special_image_have_the_null(name, n_images):
    mu = ACTIVATIONS[name](np.random.default_rng(0), (n_images, N_UNITS))
    null, mean = null_and_mean(mu)
    assert null == pytest.approx(mean, abs=0.015)


def test_a_heavier_tail_has_larger_maxima():
    mu = np.exp(np.random.default_rng(0).normal(size=(100, N_UNITS)))
    null, mean = null_and_mean(mu)
    assert 0.005 < mean - null < 0.03


def test_a_memorised_image_does_not_change_the_null():
    mu = np.random.default_rng(0).gamma(2, size=(100, N_UNITS))
    top, rest = -np.sort(-mu, axis=0)[:TOP], mu.mean(axis=0)
    special = top.copy()
    special[0] = 40
    expected = selectivity_null(top, rest)
    np.testing.assert_array_equal(selectivity_null(special, rest), expected)


def test_spacings_by_hand():
    top = np.array([[9.0], [5.0], [4.0], [3.5]])
    # 2 (5 - 4) and 3 (4 - 3.5) have a mean of 1.75.
    null = selectivity_null(top, np.array([1.25]))
    assert null[0] == pytest.approx((6.75 - 1.25) / (6.75 + 1.25))


def test_images_that_are_alike_have_no_largest():
    assert selectivity_null(np.ones((5, 1)), np.ones(1))[0] == 0


@pytest.mark.parametrize("top", [[[3.0], [0.0], [0.0]], [[3.0], [2.0]]])
def test_units_active_on_one_image_and_few_images_have_no_null(top):
    assert np.isnan(selectivity_null(np.array(top), np.zeros(1))).all()
