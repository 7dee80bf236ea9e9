import numpy as np
import pytest
import torch

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.metrics import ImageFeatures


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_each_image_has_its_features_once(batch_size):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(20, 3, generator=generator)
    index = torch.randperm(100, generator=generator)[:20]
    metric = ImageFeatures(3)
    for batch in torch.arange(20).split(batch_size):
        metric.update(features[batch], index[batch])
    # A sampler that pads shows images again.
    metric.update(features[:2], index[:2])
    values = metric.compute()
    assert values["image"].tolist() == sorted(index.tolist())
    np.testing.assert_array_equal(values["features"], features[torch.argsort(index)])


def test_a_feature_that_is_not_finite_is_refused():
    with pytest.raises(NonFiniteError, match="Image 8"):
        ImageFeatures(1).update(torch.tensor([[0], [torch.inf]]), torch.tensor([5, 8]))


def test_another_number_of_features_is_refused():
    with pytest.raises(ValueError, match=r"\('B', 3\)"):
        ImageFeatures(3).update(torch.rand(2, 4), torch.tensor([5, 8]))
