import numpy as np
import pytest
import torch

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.metrics import ClassMem
from tests.metrics.streaming import (
    BATCH_SIZES,
    ORDERS,
    positions,
    state_sizes,
    stream,
)

N_IMAGES, N_UNITS, N_CLASSES = 100, 9, 6


def images(n_images=N_IMAGES, seed=0):
    """Activations with a dead unit, targets of unbalanced classes and one unused."""
    generator = torch.Generator().manual_seed(seed)
    mu = torch.rand(n_images, N_UNITS, generator=generator)
    mu[:, 4] = 0
    drawn = torch.rand(n_images, generator=generator)
    targets = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2, 4, 5])[(drawn * 10).long()]
    index = torch.randperm(10 * n_images, generator=generator)[:n_images]
    return mu, targets, index


def brute_force(mu, targets):
    table = []
    for column in mu.double().numpy().T:
        means = {}
        for label in sorted(set(targets.tolist())):
            of_class = [x for x, t in zip(column, targets, strict=True) if t == label]
            means[label] = sum(of_class) / len(of_class)
        preferred = max(means, key=means.get)
        largest = means.pop(preferred)
        rest = sum(means.values()) / len(means)
        value = (largest - rest) / (largest + rest) if largest else 0.0
        table.append((value, preferred, largest == 0))
    return table


def assert_matches(metric, mu, targets):
    values = metric.compute()
    value, preferred, dead = zip(*brute_force(mu, targets), strict=True)
    np.testing.assert_allclose(values["class_mem"], value, rtol=1e-12)
    assert values["dead"].tolist() == list(dead)
    live = ~values["dead"]
    assert values["target"][live].tolist() == np.array(preferred)[live].tolist()


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("order", ORDERS)
def test_brute_force(batch_size, order):
    mu, targets, index = images()
    metric = ClassMem(N_UNITS, N_CLASSES)
    stream(metric, mu, targets, index, batch_size=batch_size, order=order)
    assert_matches(metric, mu, targets)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_images_seen_again_count_once(batch_size):
    mu, targets, index = images()
    metric = ClassMem(N_UNITS, N_CLASSES)
    for batch in positions(N_IMAGES, "shuffled").split(batch_size):
        again = torch.cat([batch, batch[:3]])
        metric.update(mu[again], targets[again], index[again])
        metric.update(mu[batch[:2]], targets[batch[:2]], index[batch[:2]])
    stream(metric, mu, targets, index, batch_size=13)
    assert_matches(metric, mu, targets)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    mu, targets, index = images()
    metric = stream(ClassMem(N_UNITS, N_CLASSES), mu.to(dtype), targets, index)
    assert_matches(metric, mu.to(dtype), targets)


def test_classes_without_an_image_are_left_out():
    mu, targets = torch.tensor([[3.0], [1.0]]), torch.tensor([7, 900])
    metric = stream(ClassMem(1, 1000), mu, targets, torch.arange(2))
    values = metric.compute()
    assert [field.item() for field in values.values()] == [0.5, 7, False]


def test_a_unit_that_answers_to_one_class_alone_is_alive():
    mu, targets = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 0])
    values = stream(ClassMem(2, 2), mu, targets, torch.arange(2)).compute()
    assert values["class_mem"].tolist() == [1, 0]
    assert values["dead"].tolist() == [False, True]


def test_compute_in_between_and_reset():
    mu, targets, index = images()
    metric = ClassMem(N_UNITS, N_CLASSES)
    stream(metric, mu[:40], targets[:40], index[:40])
    assert_matches(metric, mu[:40], targets[:40])
    stream(metric, mu[40:], targets[40:], index[40:])
    assert_matches(metric, mu, targets)
    metric.reset()
    stream(metric, mu[30:], targets[30:], index[30:])
    assert_matches(metric, mu[30:], targets[30:])


def test_state():
    rows = images(640)
    few, many = (
        state_sizes(stream(ClassMem(N_UNITS, N_CLASSES), *(row[:n] for row in rows)))
        for n in (70, 637)
    )
    assert few["other"] == many["other"] == (N_CLASSES + 7) * N_UNITS + N_CLASSES
    assert many["index"] <= 637 + 2 * 7


def test_batch_without_an_image():
    mu, targets, index = images()
    metric = ClassMem(N_UNITS, N_CLASSES)
    metric.update(mu[:0], targets[:0], index[:0])
    assert_matches(stream(metric, mu, targets, index), mu, targets)


def test_not_a_number_is_refused():
    mu, targets, index = images()
    metric = stream(ClassMem(N_UNITS, N_CLASSES), mu[:50], targets[:50], index[:50])
    broken = mu[50:].clone()
    broken[6, 2] = torch.nan
    with pytest.raises(NonFiniteError, match=rf"Image {index[56]} "):
        metric.update(broken, targets[50:], index[50:])
    assert_matches(stream(metric, mu, targets, index), mu, targets)


@pytest.mark.parametrize("target", [-1, N_CLASSES])
def test_target_out_of_range(target):
    with pytest.raises(ValueError, match="targets in"):
        ClassMem(2, N_CLASSES).update(
            torch.ones(2, 2), torch.tensor([0, target]), torch.arange(2)
        )


def test_one_class():
    metric = stream(
        ClassMem(2, 3), torch.ones(4, 2), torch.ones(4).long(), torch.arange(4)
    )
    with pytest.raises(ValueError, match="two classes, got 1"):
        metric.compute()
