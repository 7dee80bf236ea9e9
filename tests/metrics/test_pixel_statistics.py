import numpy as np
import pytest
import torch

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.functional import pixel_statistics
from lightly_memloc.metrics import PixelStatistics


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_each_image_has_the_statistics_of_its_views(batch_size):
    generator = torch.Generator().manual_seed(0)
    views = torch.rand(20, 3, 1, 4, 4, generator=generator)
    index = torch.randperm(100, generator=generator)[:20]
    metric = PixelStatistics()
    for batch in torch.arange(20).split(batch_size):
        metric.update(views[batch], index[batch])
    # A sampler that pads shows images again.
    metric.update(views[:2], index[:2])
    values = metric.compute()
    assert values["image"].tolist() == sorted(index.tolist())
    expected = pixel_statistics(views)[torch.argsort(index)]
    np.testing.assert_allclose(values["statistics"], expected, rtol=1e-12)


def test_a_pixel_that_is_not_finite_is_refused():
    views = torch.rand(2, 3, 1, 4, 4)
    views[1, 0, 0, 0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match="Image 8"):
        PixelStatistics().update(views, torch.tensor([5, 8]))
