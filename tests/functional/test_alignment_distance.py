import math

import numpy as np
import pytest
import torch

from lightly_memloc.functional import alignment_distance

CONV, LINEAR, TOKENS = (6, 5, 8, 4, 4), (6, 5, 32), (6, 5, 17, 12)


def brute_force(views, normalize=True, pairs="all"):
    means = []
    for image in views.double().numpy():
        z = []
        for view in image:
            norm = math.sqrt((view**2).sum())
            z.append(view.ravel() / norm if normalize and norm > 0 else view.ravel())
        distances = []
        for v in range(len(z)):
            for w in range(v + 1, len(z)):
                if pairs == "all" or v == 0:
                    distances.append(math.sqrt(((z[v] - z[w]) ** 2).sum()))
        means.append(sum(distances) / len(distances))
    return np.array(means)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def perturbed(shape, scale, seed=0):
    first = normal(shape[0], 1, *shape[2:], seed=seed)
    return first * (1 + scale * normal(*shape, seed=seed + 1))


def assert_matches(views, normalize=True, pairs="all"):
    np.testing.assert_allclose(
        alignment_distance(views, normalize, pairs).numpy(),
        brute_force(views, normalize, pairs),
        rtol=1e-5,
        atol=0,
    )


@pytest.mark.parametrize("shape", [CONV, LINEAR, TOKENS])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pairs", ["all", "anchor"])
def test_brute_force(shape, normalize, pairs):
    assert_matches(normal(*shape), normalize, pairs)


@pytest.mark.parametrize("scale", [1e-3, 1e-5, 1e-6, 2e-7])
@pytest.mark.parametrize("shape", [CONV, LINEAR, (4, 10, 2)])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pairs", ["all", "anchor"])
def test_nearly_identical_views(scale, shape, normalize, pairs):
    assert_matches(perturbed(shape, scale), normalize, pairs)


@pytest.mark.parametrize("normalize", [True, False])
def test_smallest_float32_perturbation(normalize):
    views = normal(4, 1, 64).repeat(1, 3, 1)
    views[:, 1, 7] = torch.nextafter(views[:, 1, 7], torch.tensor(torch.inf))
    assert_matches(views, normalize)


def test_smallest_float32_perturbation_closed_form():
    views = torch.ones(1, 2, 3)
    views[0, 1, 0] = 1 + 2**-23
    assert alignment_distance(views, normalize=False).item() == 2**-23


@pytest.mark.parametrize("n_features", [1, 3, 4097, 300_000])
@pytest.mark.parametrize("n_views", [2, 5])
@pytest.mark.parametrize("normalize", [True, False])
def test_identical_views_have_distance_0(n_features, n_views, normalize):
    views = normal(2, 1, n_features).expand(-1, n_views, -1)
    assert alignment_distance(views, normalize).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("n_features", [16, 512, 8192])
@pytest.mark.parametrize("position", [0, 2, 4])
@pytest.mark.parametrize("pairs", ["all", "anchor"])
@pytest.mark.parametrize("normalize", [True, False])
def test_zero_view(n_features, position, pairs, normalize):
    views = normal(16, 5, n_features).relu()
    views[:, position] = 0
    assert_matches(views, normalize, pairs)


@pytest.mark.parametrize("n_features", [16, 8192])
def test_one_nonzero_view_is_at_1_from_the_others(n_features):
    views = torch.zeros(16, 5, n_features)
    views[:, 0] = normal(16, n_features)
    np.testing.assert_allclose(alignment_distance(views).numpy(), 4 / 10, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pairs", ["all", "anchor"])
def test_all_views_zero(normalize, pairs):
    zeros = torch.zeros(3, 4, 9)
    assert alignment_distance(zeros, normalize, pairs).tolist() == [0.0] * 3


@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-18])
def test_view_of_small_norm(scale):
    views = normal(4, 5, 64)
    views[:, 2] *= scale
    assert_matches(views)


@pytest.mark.parametrize("shape", [(3, 2, 100_000), (2, 5, 500_000), (300, 3, 1000)])
@pytest.mark.parametrize("normalize", [True, False])
def test_more_elements_than_a_block(shape, normalize):
    assert_matches(normal(*shape), normalize)


def test_more_nearly_identical_elements_than_a_block():
    assert_matches(perturbed((2, 3, 300_000), 1e-5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [CONV, LINEAR, TOKENS])
@pytest.mark.parametrize("normalize", [True, False])
def test_half_precision(dtype, shape, normalize):
    assert_matches(normal(*shape).to(dtype), normalize)


def test_half_precision_does_not_overflow():
    views = torch.full((1, 2, 4), 60_000.0, dtype=torch.float16)
    views[0, 1] *= -1
    assert alignment_distance(views, normalize=False).item() == 4 * views[0, 0, 0]
    assert alignment_distance(views).item() == pytest.approx(2, rel=1e-12)


@pytest.mark.parametrize("pairs", ["all", "anchor"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("first", [0, 1])
def test_two_tight_clusters(pairs, normalize, first):
    centres = normal(4, 2, 48)
    members = torch.tensor([first, 0, 1, 1, 0, 1])
    noise = 1 + 1e-6 * normal(4, 6, 48, seed=1)
    assert_matches(centres[:, members] * noise, normalize, pairs)


def test_radially_scaled_views_have_normalized_distance_0():
    lengths = torch.tensor([1.0, 4.0, 0.5, 1024.0])
    views = normal(8, 1, 256) * lengths[:, None]
    assert alignment_distance(views).max() < 1e-7
    assert_matches(views, normalize=False)


@pytest.mark.parametrize("scale", [1e-3, 1e-5, 1e-6])
def test_radially_scaled_nearly_identical_views(scale):
    lengths = torch.tensor([1.0, 2.0, 0.5, 3.0])
    assert_matches(perturbed((8, 4, 256), scale) * lengths[:, None])


def test_scalar_representations():
    views = torch.tensor([[2.0, -1.0, 4.0], [1.0, 2.0, 3.0]])
    normalized = alignment_distance(views).numpy()
    np.testing.assert_allclose(normalized, [4 / 3, 0], rtol=1e-6, atol=1e-7)
    raw = alignment_distance(views, normalize=False).numpy()
    np.testing.assert_allclose(raw, [(3 + 2 + 5) / 3, 4 / 3], rtol=1e-12)


def test_orthogonal_and_opposite_views():
    views = torch.tensor([[[3.0, 0.0], [0.0, 0.5], [-7.0, 0.0]]])
    expected = (math.sqrt(2) + 2 + math.sqrt(2)) / 3
    assert alignment_distance(views).item() == pytest.approx(expected, rel=1e-12)
    anchored = alignment_distance(views, pairs="anchor").item()
    assert anchored == pytest.approx((math.sqrt(2) + 2) / 2, rel=1e-12)


def test_images_do_not_influence_each_other():
    views = normal(3, 4, 20)
    views[1] *= 1e6
    views[2] *= 1e-6
    assert_matches(views)
    assert_matches(views, normalize=False)


def test_no_image():
    assert alignment_distance(torch.zeros(0, 3, 4)).shape == (0,)


@pytest.mark.parametrize("shape", [(4, 1, 8), (4, 0, 8), (4,)])
def test_fewer_than_two_views(shape):
    with pytest.raises(ValueError, match="V >= 2"):
        alignment_distance(torch.zeros(shape))


def test_unknown_pairs():
    with pytest.raises(ValueError, match="'some'"):
        alignment_distance(torch.zeros(1, 2, 3), pairs="some")
