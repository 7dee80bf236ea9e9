"""Unit activation: the response of one unit to one view."""

from typing import Literal

import torch
from torch import Tensor

from lightly_memloc.functional.blocks import block_size

Rectify = Literal["auto", "relu", "abs", "none"]

# Elements rectified at a time: a copy of the whole output would not fit the cache.
_BLOCK = 1 << 20

RECTIFICATIONS = ("auto", "relu", "abs", "none")


def unit_activation(
    output: Tensor, channel_dim: int | None = None, rectify: Rectify = "auto"
) -> Tensor:
    """Average a layer's output over positions, for each unit of each view [0].

    A unit is a channel of a convolution, a neuron of a linear layer, or a channel of a
    token stream. Outputs are rectified before the average, because UnitMem is bounded
    for non-negative activations only. ReLU does not change non-negative outputs, hence
    ``"auto"`` computes the same as ``"relu"``; a measurement reports which layers were
    rectified.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        output: Layer output of shape ``(N, C)``, ``(N, tokens, C)``, ``(N, C, H, W)``
            or any other with the batch first.
        channel_dim: The dimension of the units. By default, the last one for
            three-dimensional outputs (token streams) and 1 otherwise.
        rectify: ``"auto"`` and ``"relu"`` set negative outputs to 0, ``"abs"`` takes
            absolute values, ``"none"`` does not change outputs.

    Returns:
        Tensor of shape ``(N, C)`` in single precision or better.

    Raises:
        ValueError: If the output has fewer than two dimensions, ``channel_dim`` is the
            first dimension, or ``rectify`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import unit_activation
        >>> unit_activation(torch.tensor([[[1.0, -3.0], [2.0, 1.0]]]))
        tensor([[1.5000, 0.5000]])
    """
    if output.ndim < 2:
        raise ValueError(
            f"Expected an output of shape (N, C, ...), got {tuple(output.shape)}."
        )
    if rectify not in RECTIFICATIONS:
        raise ValueError(
            f"Expected rectify to be one of {RECTIFICATIONS}, got {rectify!r}."
        )
    if channel_dim is None:
        channel_dim = 2 if output.ndim == 3 else 1
    if channel_dim % output.ndim == 0:
        raise ValueError(
            f"Expected channel_dim to differ from the batch's dimension 0, got {channel_dim}."
        )
    positions = tuple(set(range(1, output.ndim)) - {channel_dim % output.ndim})
    per_block = max(1, block_size(output, _BLOCK) // max(1, output[:1].numel()))
    return torch.cat(
        [
            _average(block, positions, rectify)
            for block in torch.split(output, per_block)
        ]
    )


def _average(output: Tensor, positions: tuple[int, ...], rectify: Rectify) -> Tensor:
    if rectify in ("auto", "relu"):
        output = output.relu()
    elif rectify == "abs":
        output = output.abs()
    precision = output.dtype if output.dtype.itemsize >= 4 else torch.float32
    if not positions:
        return output.to(precision)
    return output.mean(dim=positions, dtype=precision)
