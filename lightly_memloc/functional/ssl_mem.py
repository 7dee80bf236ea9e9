"""SSLMem: how much better one encoder aligns an image than another does."""

import sys
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

A = TypeVar("A", NDArray[np.floating[Any]], "Tensor")


def ssl_mem(
    a_f: A,
    a_g: A,
    normalization: Literal["relative", "raw", "range"] = "relative",
) -> A:
    r"""Compute SSLMem of each image from its alignment distances [0].

    - ``"raw"``: :math:`a_g - a_f`.
    - ``"relative"``: :math:`(a_g - a_f) / (a_g + a_f)`, 0 where both are 0.
    - ``"range"``: :math:`a_g - a_f`, divided by its maximum minus its minimum over
      the images given, as the official script [1] computes it; 0 where all are equal.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: https://github.com/sprintml/LocalizingMemorizationInSSL

    Args:
        a_f: Alignment distances under the encoder that was trained on the images, an
            array or a tensor of shape ``(N, ...)``.
        a_g: Alignment distances of the same images under the reference encoder,
            same shape.
        normalization: Which of the three; the range is taken over dimension 0.

    Returns:
        Of the inputs' type and shape; in [-1, 1] if relative or range-normalized.

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
    # Whoever passes tensors has imported torch; whoever passes arrays need not.
    library: Any = np if isinstance(a_f, np.ndarray) else sys.modules["torch"]
    difference = a_g - a_f
    if normalization == "raw":
        return difference
    if normalization == "relative":
        scale = a_g + a_f
    elif normalization == "range":
        scale = library.amax(difference, axis=0) - library.amin(difference, axis=0)
    else:
        raise ValueError(
            "Expected normalization to be 'relative', 'raw' or 'range', "
            f"got {normalization!r}."
        )
    scaled = difference / library.where(scale > 0, scale, 1)
    return cast(A, library.where(scale > 0, scaled, 0))
