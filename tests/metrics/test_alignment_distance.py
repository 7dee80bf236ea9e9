import math

import numpy as np
import pytest
import torch

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.metrics import AlignmentDistance
from tests.metrics.streaming import (
    BATCH_SIZES,
    ORDERS,
    positions,
    state_sizes,
    stream,
)

N_IMAGES = 100


def images(shape=(6, 3, 3)):
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(N_IMAGES, 4, *shape, generator=generator)
    return views, torch.randperm(10 * N_IMAGES, generator=generator)[:N_IMAGES]


def brute_force(views, index, normalize=True, pairs="all"):
    """Index and distance of each image, by index."""
    table = []
    for i, image in zip(index.tolist(), views.double().numpy(), strict=True):
        z = [view.ravel() for view in image]
        if normalize:
            z = [view / math.sqrt((view**2).sum()) for view in z]
        distances = []
        for v in range(len(z)):
            for w in range(v + 1, len(z)):
                if pairs == "all" or v == 0:
                    distances.append(math.sqrt(((z[v] - z[w]) ** 2).sum()))
        table.append((i, sum(distances) / len(distances)))
    return sorted(table)


def assert_matches(metric, views, index):
    values = metric.compute()
    image, distance = zip(
        *brute_force(views, index, metric.normalize, metric.pairs), strict=True
    )
    assert values["image"].tolist() == list(image)
    np.testing.assert_allclose(values["distance"], distance, rtol=1e-10)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("order", ORDERS)
def test_brute_force(batch_size, order):
    views, index = images()
    metric = stream(
        AlignmentDistance(), views, index, batch_size=batch_size, order=order
    )
    assert_matches(metric, views, index)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pairs", ["all", "anchor"])
@pytest.mark.parametrize("shape", [(12,), (5, 7)])
def test_options(normalize, pairs, shape):
    views, index = images(shape)
    assert_matches(
        stream(AlignmentDistance(normalize, pairs), views, index), views, index
    )


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_images_seen_again_count_once(batch_size):
    views, index = images()
    metric = AlignmentDistance()
    for batch in positions(N_IMAGES, "shuffled").split(batch_size):
        again = torch.cat([batch, batch[:3]])
        metric.update(views[again], index[again])
        metric.update(views[batch[:2]], index[batch[:2]])
    assert_matches(stream(metric, views, index, batch_size=13), views, index)


def test_one_image():
    metric = AlignmentDistance()
    metric.update(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.tensor([6]))
    values = metric.compute()
    assert values["image"].item() == 6
    assert values["distance"].item() == pytest.approx(math.sqrt(2), rel=1e-12)


def test_compute_in_between_and_reset():
    views, index = images()
    metric = stream(AlignmentDistance(), views[:40], index[:40])
    assert_matches(metric, views[:40], index[:40])
    assert_matches(stream(metric, views[40:], index[40:]), views, index)
    metric.reset()
    assert_matches(stream(metric, views[30:], index[30:]), views[30:], index[30:])


def test_state_is_a_number_and_few_integers_an_image():
    sizes = state_sizes(stream(AlignmentDistance(), *images()))
    assert sizes["other"] == N_IMAGES
    assert sizes["index"] <= 2 * N_IMAGES


def test_no_image():
    metric = AlignmentDistance()
    with pytest.warns(UserWarning, match="before the"):
        values = metric.compute()
    assert values["image"].shape == values["distance"].shape == (0,)


def test_batch_without_an_image():
    views, index = images()
    metric = AlignmentDistance()
    metric.update(views[:0], index[:0])
    assert_matches(stream(metric, views, index), views, index)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("view", [0, 2])
@pytest.mark.parametrize("normalize", [True, False])
def test_not_a_number_is_refused(bad, view, normalize):
    views, index = images()
    metric = stream(AlignmentDistance(normalize), views[:50], index[:50])
    broken = views[50:].clone()
    broken[6, view, 1] = bad
    with pytest.raises(NonFiniteError, match=rf"Image {index[56]} "):
        metric.update(broken, index[50:])
    assert_matches(stream(metric, views, index), views, index)


def test_unfit_index():
    with pytest.raises(ValueError, match="one index per image"):
        AlignmentDistance().update(torch.zeros(3, 2, 5), torch.arange(4))
