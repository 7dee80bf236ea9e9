import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from lightly_memloc.functional import alignment_distance, ssl_mem


def distances(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(2, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7,), (7, 3)])
def test_raw(shape):
    a_f, a_g = distances(shape)
    expected = a_g.numpy() - a_f.numpy()
    np.testing.assert_array_equal(ssl_mem(a_f, a_g, "raw"), expected)


def test_relative():
    a_f, a_g = distances((7, 3))
    expected = np.zeros((7, 3))
    for i in range(7):
        for layer in range(3):
            f, g = a_f[i, layer].item(), a_g[i, layer].item()
            expected[i, layer] = (g - f) / (g + f)
    np.testing.assert_allclose(ssl_mem(a_f, a_g), expected, rtol=1e-14)


def test_range_is_taken_over_the_images_of_each_layer():
    a_f, a_g = distances((7, 3))
    expected = np.zeros((7, 3))
    for layer in range(3):
        difference = [a_g[i, layer].item() - a_f[i, layer].item() for i in range(7)]
        for i in range(7):
            spread = max(difference) - min(difference)
            expected[i, layer] = difference[i] / spread
    np.testing.assert_allclose(ssl_mem(a_f, a_g, "range"), expected, rtol=1e-14)


def test_relative_by_hand():
    a_f, a_g = torch.tensor([0.25, 0.0, 0.5, 0.0]), torch.tensor([0.75, 1.0, 0.0, 0.0])
    assert ssl_mem(a_f, a_g).tolist() == [0.5, 1.0, -1.0, 0.0]


def test_range_by_hand():
    a_f, a_g = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.25, 0.5, 1.25])
    assert ssl_mem(a_f, a_g, "range").tolist() == [-0.25, 0.0, 0.75]


@pytest.mark.parametrize("normalization", ["raw", "relative", "range"])
def test_no_distance_at_all(normalization):
    zeros = torch.zeros(4, 2)
    assert ssl_mem(zeros, zeros, normalization).tolist() == [[0.0, 0.0]] * 4


def test_equal_differences_have_no_range():
    a_f = torch.tensor([0.25, 0.5])
    assert ssl_mem(a_f, a_f + 0.25, "range").tolist() == [0.0, 0.0]


def test_as_the_official_script():
    generator = torch.Generator().manual_seed(0)
    f, g = torch.randn(2, 48, 30, generator=generator)
    clean = torch.randn(20, 48, generator=generator)
    augmented = clean[:, None] + 0.3 * torch.randn(20, 5, 48, generator=generator)

    prob_a, prob_b = [], []
    for image, views in zip(clean, augmented, strict=True):
        dist_a, dist_b = [], []
        for view in views:
            for dist, encoder in ((dist_a, f), (dist_b, g)):
                rep_1 = normalize((image @ encoder).relu(), dim=-1).numpy()
                rep_2 = normalize((view @ encoder).relu(), dim=-1).numpy()
                dist.append(np.linalg.norm(rep_1 - rep_2))
        prob_a.append(np.mean(dist_a))
        prob_b.append(np.mean(dist_b))
    diff_prob = np.array(prob_b) - np.array(prob_a)
    expected = diff_prob / (max(diff_prob) - min(diff_prob))

    views = torch.cat([clean[:, None], augmented], dim=1)
    a_f, a_g = (
        alignment_distance((views @ encoder).relu(), pairs="anchor")
        for encoder in (f, g)
    )
    # The script works in single precision: its distances are good to 1e-6.
    np.testing.assert_allclose(
        ssl_mem(a_f, a_g, "range").numpy(), expected, rtol=0, atol=1e-5
    )


def test_shapes_differ():
    with pytest.raises(ValueError, match="same shape"):
        ssl_mem(torch.zeros(3), torch.zeros(4))


def test_unknown_normalization():
    with pytest.raises(ValueError, match="'z-score'"):
        ssl_mem(torch.zeros(3), torch.zeros(3), "z-score")


@pytest.mark.parametrize("normalization", ["relative", "raw", "range"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_give_the_numbers_of_tensors(normalization, dtype):
    a_f, a_g = np.random.default_rng(0).random((2, 40, 3)).astype(dtype)
    a_f[:3, 0], a_g[:3, 0] = 0, 0
    a_f[:, 2], a_g[:, 2] = 0.25, 0.75
    found = ssl_mem(a_f, a_g, normalization)
    expected = ssl_mem(torch.from_numpy(a_f), torch.from_numpy(a_g), normalization)
    assert isinstance(found, np.ndarray)
    assert found.dtype == dtype
    assert found.tobytes() == expected.numpy().tobytes()
