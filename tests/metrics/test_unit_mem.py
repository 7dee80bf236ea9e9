import numpy as np
import pytest
import torch

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.metrics import UnitMem
from tests.metrics.streaming import (
    BATCH_SIZES,
    ORDERS,
    positions,
    state_sizes,
    stream,
)

N_IMAGES, N_UNITS = 100, 9
AVERAGES = {"mean": np.mean, "median": np.median}


def images(n_images=N_IMAGES, n_units=N_UNITS, seed=0):
    """Activations with many ties and a dead unit, and indices with gaps."""
    generator = torch.Generator().manual_seed(seed)
    mu = torch.randint(0, 16, (n_images, n_units), generator=generator) / 8
    mu[:, n_units // 2] = 0
    index = torch.randperm(10 * n_images, generator=generator)[:n_images]
    return mu, index


def brute_force(mu, index, rest="mean"):
    table = []
    for column in mu.double().numpy().T:
        largest = max(column)
        winner = min(int(i) for i, x in zip(index, column, strict=True) if x == largest)
        others = [x for i, x in zip(index.tolist(), column, strict=True) if i != winner]
        average = AVERAGES[rest](others)
        value = (largest - average) / (largest + average) if largest else 0.0
        table.append((value, largest, average, winner, largest == 0))
    return table


def assert_matches(metric, mu, index):
    values = metric.compute()
    expected = zip(*brute_force(mu, index, metric.rest), strict=True)
    value, largest, average, winner, dead = expected
    np.testing.assert_allclose(values["unit_mem"], value, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(values["mu_rest"], average, rtol=1e-12)
    assert values["mu_max"].tolist() == list(largest)
    assert values["winner"].tolist() == list(winner)
    assert values["dead"].tolist() == list(dead)


@pytest.mark.parametrize("rest", AVERAGES)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("order", ORDERS)
def test_brute_force(rest, batch_size, order):
    mu, index = images()
    metric = stream(
        UnitMem(N_UNITS, rest), mu, index, batch_size=batch_size, order=order
    )
    assert_matches(metric, mu, index)


@pytest.mark.parametrize("rest", AVERAGES)
@pytest.mark.parametrize("n_images", [2, 3, 10, 11])
def test_few_images(rest, n_images):
    mu, index = images(n_images)
    assert_matches(stream(UnitMem(N_UNITS, rest), mu, index), mu, index)


@pytest.mark.parametrize("rest", AVERAGES)
def test_continuous_activations(rest):
    mu = torch.rand(N_IMAGES, N_UNITS, generator=torch.Generator().manual_seed(0))
    index = torch.arange(N_IMAGES)
    assert_matches(stream(UnitMem(N_UNITS, rest), mu, index), mu, index)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_activations_of_other_precision(dtype):
    mu = torch.rand(N_IMAGES, N_UNITS, generator=torch.Generator().manual_seed(0))
    mu, index = mu.to(dtype), torch.arange(N_IMAGES).flip(0)
    assert_matches(stream(UnitMem(N_UNITS), mu, index), mu, index)


@pytest.mark.parametrize("rest", AVERAGES)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_images_seen_again_count_once(rest, batch_size):
    mu, index = images()
    metric = UnitMem(N_UNITS, rest)
    for batch in positions(N_IMAGES, "shuffled").split(batch_size):
        again = torch.cat([batch, batch[:3]])
        metric.update(mu[again], index[again])
        metric.update(mu[batch[:2]], index[batch[:2]])
    stream(metric, mu, index, batch_size=13)
    assert_matches(metric, mu, index)


def test_the_first_rows_of_an_image_count():
    metric = UnitMem(1)
    metric.update(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([4, 2, 4]))
    metric.update(torch.tensor([[9.0], [2.0]]), torch.tensor([2, 7]))
    metric.update(torch.tensor([[9.0]]), torch.tensor([4]))
    values = metric.compute()
    assert (values["mu_max"].item(), values["winner"].item()) == (3, 2)
    assert values["unit_mem"].item() == pytest.approx((3 - 1.5) / (3 + 1.5))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_of_tied_images_the_smallest_index_wins(batch_size, order):
    mu, index = torch.tensor([[1.0], [4.0], [4.0], [4.0]]), torch.tensor([0, 9, 3, 6])
    metric = stream(UnitMem(1), mu, index, batch_size=batch_size, order=order)
    values = metric.compute()
    assert values["winner"].item() == 3
    assert values["unit_mem"].item() == pytest.approx((4 - 3) / (4 + 3))


def test_an_image_seen_again_after_a_smaller_index_counts_once():
    mu, _ = images()
    metric = UnitMem(N_UNITS)
    for batch in [9], [3], [6, 9], [10]:
        metric.update(mu[batch], torch.tensor(batch))
    seen = torch.tensor([3, 6, 9, 10])
    assert_matches(metric, mu[seen], seen)


def test_activations_overwritten_after_the_update_stay_as_they_were():
    mu, index = images()
    buffer = mu.double()
    metric = UnitMem(N_UNITS)
    metric.update(buffer, index)
    buffer.zero_()
    assert_matches(metric, mu, index)


def test_negative_activations():
    mu, index = images()
    assert_matches(stream(UnitMem(N_UNITS), -1 - mu, index), -1 - mu, index)


@pytest.mark.parametrize("rest", AVERAGES)
def test_one_unit(rest):
    mu, index = torch.tensor([[1.0], [5.0], [1.0]]), torch.tensor([8, 4, 2])
    values = stream(UnitMem(1, rest), mu, index, batch_size=2).compute()
    assert [field.item() for field in values.values()] == [
        pytest.approx(4 / 6),
        5,
        1,
        4,
        False,
    ]


def test_compute_in_between():
    mu, index = images()
    metric = stream(UnitMem(N_UNITS), mu[:40], index[:40])
    assert_matches(metric, mu[:40], index[:40])
    assert_matches(stream(metric, mu[40:], index[40:]), mu, index)


def test_reset():
    mu, index = images()
    metric = stream(UnitMem(N_UNITS), mu + 1, index)
    metric.compute()
    metric.reset()
    assert_matches(stream(metric, mu, index), mu, index)


@pytest.mark.parametrize("rest", AVERAGES)
def test_state(rest):
    mu, index = images(640)
    short = state_sizes(stream(UnitMem(N_UNITS, rest), mu[:64], index[:64]))
    long = state_sizes(stream(UnitMem(N_UNITS, rest), mu[:637], index[:637]))
    rows = {"mean": 7, "median": 637}[rest]
    assert long["index"] <= 2 * 637 + 7
    assert (
        long["other"] - short["other"]
        == {
            "mean": (7 - 1) * N_UNITS,
            "median": (637 - 64) * N_UNITS,
        }[rest]
    )
    assert long["other"] <= (rows + 3) * N_UNITS + 1


def test_batch_without_an_image():
    mu, index = images()
    metric = UnitMem(N_UNITS)
    metric.update(mu[:0], index[:0])
    stream(metric, mu, index)
    metric.update(mu[:0], index[:0])
    assert_matches(metric, mu, index)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_not_a_number_is_refused(bad):
    mu, index = images()
    metric = stream(UnitMem(N_UNITS), mu[:50], index[:50])
    broken = mu[50:60].clone()
    broken[6, 2] = bad
    with pytest.raises(NonFiniteError, match=rf"Image {index[56]} "):
        metric.update(broken, index[50:60])
    assert_matches(stream(metric, mu[50:], index[50:]), mu, index)


@pytest.mark.parametrize(("n_rows", "n_units"), [(5, N_UNITS), (4, N_UNITS + 1)])
def test_unfit_rows(n_rows, n_units):
    with pytest.raises(ValueError, match="one index per image"):
        UnitMem(N_UNITS).update(torch.zeros(n_rows, n_units), torch.arange(4))


def test_one_image():
    metric = UnitMem(2)
    metric.update(torch.ones(2, 2), torch.tensor([5, 5]))
    with pytest.raises(ValueError, match="at least two images, got 1"):
        metric.compute()


def test_unknown_rest():
    with pytest.raises(ValueError, match="'mode'"):
        UnitMem(2, "mode")
