import itertools

import numpy as np
import pytest
import torch

from lightly_memloc.functional import unit_activation

RECTIFIED = {
    "auto": lambda x: max(x, 0.0),
    "relu": lambda x: max(x, 0.0),
    "abs": abs,
    "none": lambda x: x,
}


def output(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator)


def brute_force(output, unit_dim, rectify="auto"):
    values = output.double().numpy()
    means = np.zeros((values.shape[0], values.shape[unit_dim]))
    counts = np.zeros_like(means)
    for position in itertools.product(*map(range, values.shape)):
        view, unit = position[0], position[unit_dim]
        means[view, unit] += RECTIFIED[rectify](values[position])
        counts[view, unit] += 1
    return means / counts


@pytest.mark.parametrize("rectify", ["auto", "relu", "abs", "none"])
@pytest.mark.parametrize(
    ("shape", "channel_dim", "unit_dim"),
    [
        ((3, 5), None, 1),
        ((3, 7, 5), None, 2),
        ((3, 5, 7), 1, 1),
        ((3, 5, 4, 2), None, 1),
        ((3, 4, 2, 5), -1, 3),
        ((3, 4, 2, 5), 3, 3),
        ((3, 5, 2, 2, 3), None, 1),
    ],
)
def test_brute_force(shape, channel_dim, unit_dim, rectify):
    values = output(*shape)
    np.testing.assert_allclose(
        unit_activation(values, channel_dim, rectify),
        brute_force(values, unit_dim, rectify),
        rtol=1e-5,
        atol=1e-6,
    )


def test_rectified_before_the_average():
    values = torch.tensor([[[1.0], [-3.0]]])
    by_mode = {mode: unit_activation(values, rectify=mode).item() for mode in RECTIFIED}
    assert by_mode == {"auto": 0.5, "relu": 0.5, "abs": 2.0, "none": -1.0}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(2, 5), (2, 300, 5), (2, 5, 20, 20)])
def test_half_precision_is_averaged_in_single(dtype, shape):
    values = output(*shape).to(dtype)
    actual = unit_activation(values)
    assert actual.dtype == torch.float32
    expected = brute_force(values, 2 if len(shape) == 3 else 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_half_precision_does_not_overflow():
    values = torch.full((1, 1, 8, 8), 60_000.0, dtype=torch.float16)
    assert unit_activation(values).item() == values[0, 0, 0, 0].item()


def test_double_precision_stays():
    assert unit_activation(output(2, 3, 4, 4).double()).dtype == torch.float64


def test_output_is_not_changed():
    values = torch.tensor([[-1.0, 2.0]])
    for rectify in RECTIFIED:
        unit_activation(values, rectify=rectify)
    assert values.tolist() == [[-1.0, 2.0]]


def test_no_units():
    with pytest.raises(ValueError, match="shape"):
        unit_activation(torch.zeros(3))


@pytest.mark.parametrize("channel_dim", [0, -3])
def test_units_in_the_dimension_of_the_batch(channel_dim):
    with pytest.raises(ValueError, match="dimension 0"):
        unit_activation(torch.zeros(3, 4, 5), channel_dim)


def test_unknown_rectify():
    with pytest.raises(ValueError, match="'gelu'"):
        unit_activation(torch.zeros(3, 2), rectify="gelu")
