"""SSLMem: how much better one encoder aligns an image than another does."""

from typing import Literal

import torch
from torch import Tensor


def ssl_mem(
    a_f: Tensor,
    a_g: Tensor,
    normalization: Literal["relative", "raw", "range"] = "relative",
) -> Tensor:
    r"""Compute SSLMem of each image from its alignment distances [0].

    - ``"raw"``: :math:`a_g - a_f`.
    - ``"relative"``: :math:`(a_g - a_f) / (a_g + a_f)`, 0 where both are 0.
    - ``"range"``: :math:`a_g - a_f`, divided by its maximum minus its minimum over
      the images given, as the official script [1] computes it; 0 where all are equal.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: https://github.com/sprintml/LocalizingMemorizationInSSL

    Args:
        a_f: Alignment distances under the encoder that was trained on the images,
            shape ``(N, ...)``.
        a_g: Alignment distances of the same images under the reference encoder,
            same shape.
        normalization: Which of the three; the range is taken over dimension 0.

    Returns:
        Tensor of the inputs' shape; in [-1, 1] if relative or range-normalized.

    Raises:
        ValueError: If the shapes differ or ``normalization`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import ssl_mem
        >>> ssl_mem(torch.tensor([0.2, 0.5]), torch.tensor([0.6, 0.5]))
        tensor([0.5000, 0.0000])
    """
    if a_f.shape != a_g.shape:
        raise ValueError(
            "Expected a_f and a_g of the same shape, got "
            f"{tuple(a_f.shape)} and {tuple(a_g.shape)}."
        )
    difference = a_g - a_f
    if normalization == "raw":
        return difference
    if normalization == "relative":
        scale = a_g + a_f
    elif normalization == "range":
        scale = difference.amax(dim=0) - difference.amin(dim=0)
    else:
        raise ValueError(
            "Expected normalization to be 'relative', 'raw' or 'range', "
            f"got {normalization!r}."
        )
    return torch.where(scale > 0, difference / scale, 0)
