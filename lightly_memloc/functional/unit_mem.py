"""UnitMem: how strongly one unit is tied to a single image."""

from typing import Literal

import torch
from torch import Tensor

Rest = Literal["mean", "median"]


def unit_mem(mu: Tensor, rest: Rest = "mean") -> Tensor:
    r"""Compute UnitMem of each unit from its activations on each image [0].

    .. math::
        \mathrm{UnitMem}(u) = \frac{\mu_{max} - \mu_{rest}}{\mu_{max} + \mu_{rest}}

    where :math:`\mu_{max}` is the unit's largest activation over the images and
    :math:`\mu_{rest}` the mean of its activations on the other images, or, for
    ``rest="median"``, their median, as in the official script [1].

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069
    - [1]: https://github.com/sprintml/LocalizingMemorizationInSSL

    Args:
        mu: Activations of shape ``(N, U)``: of each of ``N >= 2`` images, averaged
            over views, on each of ``U`` units.
        rest: The average over the other images: their mean or their median.

    Returns:
        Tensor of shape ``(U,)``; in [0, 1] if no activation is negative. A dead unit
        (:math:`\mu_{max} = 0`) has 0.

    Raises:
        ValueError: If ``mu`` is not two-dimensional with at least two images, or
            ``rest`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import unit_mem
        >>> unit_mem(torch.tensor([[9.0, 1.0], [1.0, 1.0], [1.0, 1.0]]))
        tensor([0.8000, 0.0000])
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(
            f"Expected mu of shape (N, U) with N >= 2, got {tuple(mu.shape)}."
        )
    winner = mu.argmax(dim=0, keepdim=True)
    others = torch.ones_like(mu, dtype=torch.bool).scatter_(0, winner, False)
    mu_others = mu.T[others.T].reshape(mu.shape[1], -1)
    if rest == "mean":
        mu_rest = mu_others.mean(dim=1)
    elif rest == "median":
        ordered, n_others = mu_others.sort(dim=1).values, mu_others.shape[1]
        mu_rest = (ordered[:, (n_others - 1) // 2] + ordered[:, n_others // 2]) / 2
    else:
        raise ValueError(f"Expected rest to be 'mean' or 'median', got {rest!r}.")
    return selectivity(mu.amax(dim=0), mu_rest)


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
    alive = mu_max != 0
    total = torch.where(alive, mu_max + mu_rest, 1)
    return torch.where(alive, (mu_max - mu_rest) / total, 0)
