import pytest
import torch

from lightly_memloc.metrics import TopImages
from tests.metrics.streaming import BATCH_SIZES, ORDERS, state_sizes, stream

N_IMAGES, N_UNITS, K = 100, 6, 4


def images():
    """Activations with many ties, some of them negative."""
    generator = torch.Generator().manual_seed(0)
    mu = torch.randint(-3, 12, (N_IMAGES, N_UNITS), generator=generator) / 8
    mu[:, 2] = 0
    index = 3 * torch.randperm(N_IMAGES, generator=generator) + 5
    return mu, index


def expected(mu, index, k):
    """Each unit's images, sorted by hand: by activation, then by index."""
    ranked = [
        sorted(zip((-column).tolist(), index.tolist(), strict=True))[:k]
        for column in mu.T
    ]
    activation = torch.tensor([[-a for a, _ in of] for of in ranked]).T
    return activation.double(), torch.tensor([[i for _, i in of] for of in ranked]).T


@pytest.mark.parametrize("batch_size", [*BATCH_SIZES, K])
@pytest.mark.parametrize("order", ORDERS)
def test_images_sorted_by_hand(batch_size, order):
    mu, index = images()
    metric = stream(
        TopImages(N_UNITS, K), mu, index, batch_size=batch_size, order=order
    )
    values = metric.compute()
    activation, image = expected(mu, index, K)
    assert torch.equal(values["activation"], activation)
    assert torch.equal(values["image"], image)


@pytest.mark.parametrize("n_images", [1, 3])
def test_fewer_images_than_asked_for(n_images):
    mu, index = (of[:n_images] for of in images())
    values = stream(TopImages(N_UNITS, K), mu, index, batch_size=1).compute()
    assert torch.equal(values["image"], expected(mu, index, n_images)[1])


def test_images_seen_again_count_once():
    mu, index = images()
    metric = stream(TopImages(N_UNITS, K), mu, index)
    stream(metric, mu + 1, index)
    assert torch.equal(metric.compute()["image"], expected(mu, index, K)[1])


def test_state():
    mu, index = images()
    sizes = [
        state_sizes(stream(TopImages(N_UNITS, K), mu[:n], index[:n]))
        for n in (42, N_IMAGES - 2)
    ]
    assert [of["other"] for of in sizes] == [(2 * K + 7) * N_UNITS] * 2
    assert [of["index"] for of in sizes] == [42 + 7, N_IMAGES - 2 + 7]
