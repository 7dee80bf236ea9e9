import numpy as np
import pytest
import torch

from lightly_memloc.functional import pixel_statistics


def test_brute_force():
    views = torch.randn(4, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = []
    for image in views.double().numpy():
        flat = image.reshape(3, -1)
        unit = flat / np.sqrt((flat**2).sum(axis=1, keepdims=True))
        distances = [
            np.mean(
                [
                    np.sqrt(((x[i] - x[j]) ** 2).sum())
                    for i, j in ((0, 1), (0, 2), (1, 2))
                ]
            )
            for x in (flat, unit)
        ]
        mean = flat.sum() / flat.size
        deviation = np.sqrt(((flat - mean) ** 2).sum() / flat.size)
        expected.append([*np.log(distances), mean, mean**2, deviation])
    np.testing.assert_allclose(pixel_statistics(views), expected, rtol=1e-10)


def test_equal_views_have_finite_statistics():
    views = torch.ones(2, 3, 1, 4, 4)
    assert torch.isfinite(pixel_statistics(views)).all()


def test_half_precision():
    views = torch.rand(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).half()
    np.testing.assert_allclose(
        pixel_statistics(views), pixel_statistics(views.double())
    )


def test_one_view_is_refused():
    with pytest.raises(ValueError, match="V >= 2"):
        pixel_statistics(torch.rand(2, 1, 3, 4, 4))
