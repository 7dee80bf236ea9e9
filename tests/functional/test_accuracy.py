import numpy as np
import pytest

from lightly_memloc.functional import accuracy


@pytest.mark.parametrize(
    ("options", "z"),
    [
        ({}, 1.959963984540054),
        ({"confidence": 0.99}, 2.5758293035489),
        ({"confidence": 0.5}, 0.6744897501960817),
    ],
)
def test_wilson_interval(options, z):
    found = accuracy([0] * 8 + [1] * 2, [0] * 10, **options)
    p, n = 0.8, 10
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found == pytest.approx((0.8, centre - half, centre + half))


@pytest.mark.parametrize(("one", "other"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_predictions_that_do_not_fit_the_targets(one, other):
    with pytest.raises(ValueError, match="as many predictions as targets"):
        accuracy(one, other)
