import numpy as np
import pytest
import torch

from lightly_memloc.functional import selectivity, unit_mem
from lightly_memloc.functional.unit_mem import is_dead, winner


def activations(n_images, n_units, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n_images)
    shape = (n_images, n_units)
    return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)


def brute_force(mu, average=np.mean):
    values = mu.double().numpy()
    expected = []
    for unit in range(values.shape[1]):
        winner = 0
        for image in range(len(values)):
            if values[image, unit] > values[winner, unit]:
                winner = image
        others = [values[i, unit] for i in range(len(values)) if i != winner]
        largest, rest = values[winner, unit], average(others)
        expected.append((largest - rest) / (largest + rest) if largest else 0.0)
    return np.array(expected)


@pytest.mark.parametrize("n_images", [2, 3, 10, 101])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (None, 1e-5)])
def test_mean_brute_force(n_images, dtype, rtol):
    mu = activations(n_images, 13, dtype or torch.float32)
    np.testing.assert_allclose(unit_mem(mu), brute_force(mu), rtol=rtol)


@pytest.mark.parametrize("n_images", [2, 3, 10, 101])
def test_median_brute_force(n_images):
    mu = activations(n_images, 13)
    expected = brute_force(mu, np.median)
    np.testing.assert_allclose(unit_mem(mu, "median"), expected, rtol=1e-12)


@pytest.mark.parametrize("n_images", [10, 11])
def test_median_as_the_official_script(n_images):
    mu = activations(n_images, 40)
    finalout = mu.numpy()
    maxout = np.max(finalout, axis=0)
    medianout = np.median(np.sort(finalout, axis=0)[0:-1], axis=0)
    expected = (maxout - medianout) / (maxout + medianout)
    np.testing.assert_allclose(unit_mem(mu, "median"), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("column", "mean", "median"),
    [
        ([4, 4, 1], 1.5 / 6.5, 1.5 / 6.5),
        ([4, 1, 4, 4], 1 / 7, 0),
        ([2, 2], 0, 0),
        ([8, 0, 0, 0], 1, 1),
        ([9, 1, 1, 4], (9 - 2) / (9 + 2), (9 - 1) / (9 + 1)),
        ([0, 0, 0], 0, 0),
    ],
)
def test_by_hand(column, mean, median):
    mu = torch.tensor(column, dtype=torch.float64)[:, None]
    assert unit_mem(mu).item() == pytest.approx(mean, abs=1e-15)
    assert unit_mem(mu, "median").item() == pytest.approx(median, abs=1e-15)


@pytest.mark.parametrize("rest", ["mean", "median"])
def test_order_of_images_and_scale_of_units_do_not_matter(rest):
    mu = activations(30, 6)
    mu[[3, 8]] = mu.amax(dim=0)
    scales = torch.tensor([1e-6, 0.1, 1, 10, 1e6, 3.0], dtype=torch.float64)
    expected = brute_force(mu, np.mean if rest == "mean" else np.median)
    actual = unit_mem(mu.flip(0) * scales, rest)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_dead_unit_beside_live_ones():
    mu = activations(12, 3)
    mu[:, 1] = 0
    assert unit_mem(mu)[1] == 0
    np.testing.assert_allclose(unit_mem(mu), brute_force(mu), rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 4), (5,), (2, 3, 4)])
def test_unfit_shape(shape):
    with pytest.raises(ValueError, match="N >= 2"):
        unit_mem(torch.zeros(shape))


def test_unknown_rest():
    with pytest.raises(ValueError, match="'mode'"):
        unit_mem(torch.zeros(3, 2), "mode")


def test_selectivity():
    mu_max, mu_rest = torch.tensor([3.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    assert selectivity(mu_max, mu_rest).tolist() == [0.5, 0.0, 0.0]


@pytest.mark.parametrize("rest", ["mean", "median"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_other_precision_is_computed_in_double(rest, dtype):
    mu = (600 * activations(200, 5)).to(dtype)
    expected = brute_force(mu, np.mean if rest == "mean" else np.median)
    actual = unit_mem(mu, rest)
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("index", [[7, 3, 5], [[7, 70], [3, 30], [5, 50]]])
def test_winner_is_the_smallest_index_of_the_largest_activations(index):
    mu = torch.tensor([[4.0, 1.0], [4.0, 0.0], [2.0, 6.0]])
    expected = [3, 5] if index == [7, 3, 5] else [3, 50]
    assert winner(mu, torch.tensor(index)).tolist() == expected


def test_dead_units():
    mu_max = torch.tensor([0.0, -0.0, 1e-300, -1.0], dtype=torch.float64)
    assert is_dead(mu_max).tolist() == [True, True, False, False]
