import numpy as np
import pytest
import torch

from lightly_memloc.functional import class_mem, class_selectivity

TARGETS = [0] * 17 + [1] * 2 + [2] * 9 + [3]


def brute_force(mu, targets):
    values = mu.double().numpy()
    expected = []
    for unit in range(values.shape[1]):
        means = []
        for label in sorted(set(targets)):
            of_class = [
                values[i, unit] for i in range(len(targets)) if targets[i] == label
            ]
            means.append(sum(of_class) / len(of_class))
        largest = max(means)
        means.remove(largest)
        rest = sum(means) / len(means)
        expected.append((largest - rest) / (largest + rest) if largest else 0.0)
    return np.array(expected)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (None, 1e-5)])
@pytest.mark.parametrize("seed", range(3))
def test_brute_force_with_unbalanced_classes(dtype, rtol, seed):
    generator = torch.Generator().manual_seed(seed)
    mu = torch.rand(len(TARGETS), 11, generator=generator, dtype=dtype)
    order = torch.randperm(len(TARGETS), generator=generator)
    targets = torch.tensor(TARGETS)[order]
    np.testing.assert_allclose(
        class_mem(mu, targets), brute_force(mu, targets.tolist()), rtol=rtol
    )


def test_labels_are_names():
    mu = torch.arange(29 * 4, dtype=torch.float64).reshape(29, 4).sin().abs()
    names = [[-5, 700, 3, 12][target] for target in TARGETS]
    expected = brute_force(mu, TARGETS)
    np.testing.assert_allclose(class_mem(mu, torch.tensor(names)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("column", "targets", "expected"),
    [
        ([3, 3, 1], [0, 0, 1], 0.5),
        ([6, 0, 1], [0, 0, 1], 0.5),
        ([1, 0, 0], [0, 1, 2], 1),
        ([4, 2, 0], [0, 1, 2], (4 - 1) / (4 + 1)),
        ([2, 2, 2], [0, 1, 1], 0),
        ([0, 0, 0], [0, 1, 1], 0),
    ],
)
def test_by_hand(column, targets, expected):
    mu = torch.tensor(column, dtype=torch.float64)[:, None]
    actual = class_mem(mu, torch.tensor(targets)).item()
    assert actual == pytest.approx(expected, abs=1e-15)


def test_class_selectivity_of_means():
    means = torch.tensor([[4.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.0, 0.0, 4.0]])
    expected = [0.6, 0.0, 0.6]
    np.testing.assert_allclose(class_selectivity(means), expected, rtol=1e-6)


def test_one_class():
    with pytest.raises(ValueError, match="two classes"):
        class_mem(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(("shape", "n_targets"), [((3, 2), 4), ((3,), 3)])
def test_shapes_do_not_fit(shape, n_targets):
    with pytest.raises(ValueError, match="shape"):
        class_mem(torch.zeros(shape), torch.arange(n_targets))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_double(dtype):
    generator = torch.Generator().manual_seed(0)
    mu = (600 * torch.rand(290, 5, generator=generator)).to(dtype)
    targets = TARGETS * 10
    np.testing.assert_allclose(
        class_mem(mu, torch.tensor(targets)), brute_force(mu, targets), rtol=1e-12
    )
