"""ClassMem: how strongly one unit responds to a single class of images."""

import torch
from torch import Tensor

from lightly_memloc.functional.unit_mem import in_double, unit_mem


def class_mem(mu: Tensor, targets: Tensor) -> Tensor:
    r"""Compute ClassMem of each unit from its activations on labelled images [0, 1].

    .. math::
        \mathrm{ClassMem}(u) = \frac{m_{max} - m_{rest}}{m_{max} + m_{rest}}

    where :math:`m_{max}` is the largest of the unit's mean activations per class, and
    :math:`m_{rest}` is the mean of the means of the other classes.

    - [0]: Class selectivity, 2018, https://arxiv.org/abs/1803.06959
    - [1]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        mu: Activations of shape ``(N, U)``: of ``U`` units on ``N`` images, averaged
            over views.
        targets: Class of each image, shape ``(N,)``, of at least two classes.

    Returns:
        Tensor of shape ``(U,)``; in [0, 1] if no activation is negative. A dead unit
        (:math:`m_{max} = 0`) has 0. Double precision where the device has it.

    Raises:
        ValueError: If the shapes do not fit or there are fewer than two classes.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import class_mem
        >>> mu = torch.tensor([[3.0, 1.0], [3.0, 1.0], [1.0, 1.0]])
        >>> class_mem(mu, torch.tensor([0, 0, 1]))
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    if mu.ndim != 2 or targets.shape != mu.shape[:1]:
        raise ValueError(
            "Expected mu of shape (N, U) and targets of shape (N,), got "
            f"{tuple(mu.shape)} and {tuple(targets.shape)}."
        )
    classes, membership = torch.unique(targets, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"Expected at least two classes, got {len(classes)}.")
    mu = in_double(mu)
    totals = mu.new_zeros(len(classes), mu.shape[1]).index_add_(0, membership, mu)
    return class_selectivity(totals / membership.bincount().unsqueeze(1))


def class_selectivity(means: Tensor) -> Tensor:
    """Compute ClassMem from the mean activations per class.

    This is UnitMem with a class in place of an image.

    Args:
        means: Mean activations of shape ``(K, U)`` for ``K >= 2`` classes.

    Returns:
        Tensor of shape ``(U,)``, as :func:`lightly_memloc.functional.class_mem` returns
        it.

    Raises:
        ValueError: If there are fewer than two classes.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import class_selectivity
        >>> class_selectivity(torch.tensor([[3.0], [1.0]]))
        tensor([0.5000], dtype=torch.float64)
    """
    return unit_mem(means)
