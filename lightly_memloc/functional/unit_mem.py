"""UnitMem: how strongly one unit responds to a single image."""

from typing import Literal

import torch
from torch import Tensor

Rest = Literal["mean", "median"]

# The winner where there is no image: no index is larger.
NO_IMAGE = torch.iinfo(torch.int64).max


def unit_mem(mu: Tensor, rest: Rest = "mean") -> Tensor:
    r"""Compute UnitMem of each unit from its activations on each image [0].

    .. math::
        \mathrm{UnitMem}(u) = \frac{\mu_{max} - \mu_{rest}}{\mu_{max} + \mu_{rest}}

    where :math:`\mu_{max}` is the unit's largest activation over the images, and
    :math:`\mu_{rest}` is the mean of its activations on the other images, or their
    median for ``rest="median"``, as in the official script [1].

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069
    - [1]: https://github.com/sprintml/LocalizingMemorizationInSSL

    Args:
        mu: Activations of shape ``(N, U)``: of ``U`` units on ``N >= 2`` images,
            averaged over views.
        rest: The average over the other images: their ``"mean"`` or their ``"median"``.

    Returns:
        Tensor of shape ``(U,)``; in [0, 1] if no activation is negative. A dead unit
        (:math:`\mu_{max} = 0`) has 0. Double precision where the device has it.

    Raises:
        ValueError: If ``mu`` is not two-dimensional with at least two images, or
            ``rest`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import unit_mem
        >>> unit_mem(torch.tensor([[9.0, 1.0], [1.0, 1.0], [1.0, 1.0]]))
        tensor([0.8000, 0.0000], dtype=torch.float64)
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(
            f"Expected mu of shape (N, U) with N >= 2, got {tuple(mu.shape)}."
        )
    mu = in_double(mu)
    mu_max = mu.amax(dim=0)
    if rest == "mean":
        mu_rest = mean_of_rest(mu.sum(dim=0), mu_max, len(mu))
    elif rest == "median":
        mu_rest = median_of_rest(mu)
    else:
        raise ValueError(f"Expected rest to be 'mean' or 'median', got {rest!r}.")
    return selectivity(mu_max, mu_rest)


def selectivity(mu_max: Tensor, mu_rest: Tensor) -> Tensor:
    """Compute ``(mu_max - mu_rest) / (mu_max + mu_rest)``.

    Args:
        mu_max: Largest average activations, any shape.
        mu_rest: Average activations on the rest, same shape.

    Returns:
        Tensor of the same shape; 0 where ``mu_max`` is 0 (a dead unit).

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import selectivity
        >>> selectivity(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0]))
        tensor([0.5000, 0.0000])
    """
    dead = is_dead(mu_max)
    scale = torch.where(dead, 1, mu_max + mu_rest)
    return torch.where(dead, 0, (mu_max - mu_rest) / scale)


def is_dead(mu_max: Tensor) -> Tensor:
    """Tell which units are dead: their largest average activation is 0.

    Args:
        mu_max: Largest average activations, any shape.

    Returns:
        Boolean tensor of the same shape.
    """
    return mu_max == 0


def mean_of_rest(total: Tensor, mu_max: Tensor, n_images: int) -> Tensor:
    """Compute the mean activation over all images but the most activating one.

    Args:
        total: Sums of the activations over all images, shape ``(U,)``.
        mu_max: Largest activations, shape ``(U,)``.
        n_images: Number of images, at least two.

    Returns:
        Tensor of shape ``(U,)``.
    """
    return (total - mu_max) / (n_images - 1)


def median_of_rest(mu: Tensor) -> Tensor:
    """Compute the median activation over all images but the most activating one.

    Args:
        mu: Activations of shape ``(N, U)`` on ``N >= 2`` images.

    Returns:
        Tensor of shape ``(U,)``; for an even number of images, the mean of the two
        middle activations.
    """
    ordered = mu.sort(dim=0).values[:-1]
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def winner(mu: Tensor, index: Tensor) -> Tensor:
    """Find the image with the largest activation of each unit.

    Args:
        mu: Activations of shape ``(N, U)``.
        index: Indices of the images, shape ``(N,)``, or ``(N, U)`` if each unit has
            images of its own.

    Returns:
        Indices of shape ``(U,)``; of equally large activations, the smallest index.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional.unit_mem import winner
        >>> winner(torch.tensor([[1.0, 2.0], [4.0, 2.0]]), torch.tensor([9, 3]))
        tensor([3, 3])
    """
    images = index.unsqueeze(1) if index.ndim == 1 else index
    return torch.where(mu == mu.amax(dim=0), images, NO_IMAGE).amin(dim=0)


def in_double(values: Tensor) -> Tensor:
    """Convert to double precision, or to single on devices that lack it.

    Args:
        values: A tensor of any type.
    """
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)
