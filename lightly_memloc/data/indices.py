"""Indices of images, as they are given: numbers or a mask."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError


def are_indices(given: Any) -> bool:
    """Whether something is a sequence of numbers or a mask, and no data set.

    Args:
        given: Anything.
    """
    return isinstance(given, range | list | tuple) or hasattr(given, "__array__")


def image_indices(given: Any, n: int, what: str) -> NDArray[np.int64]:
    """Return the indices that numbers or a mask stand for.

    Args:
        given: Integers from 0 to ``n - 1``; or a mask, with one boolean for each of the
            ``n`` images.
        n: Number of images in the data set.
        what: What they are, for the error message.

    Returns:
        Indices in the order given, as int64.

    Raises:
        MemorizationError: If they are neither, a mask has another length, or an index is
            out of range.
    """
    array = np.asarray(given)
    if array.ndim != 1:
        raise MemorizationError(
            f"Expected {what} to be indices or a mask of the images, got "
            f"{_named(given)} of shape {array.shape}."
        )
    if not array.size:
        return np.empty(0, dtype=np.int64)
    if array.dtype == bool:
        if len(array) != n:
            raise MemorizationError(
                f"Expected {what} to have one boolean for each of the {n} images, got a "
                f"mask of {len(array)}."
            )
        return np.flatnonzero(array).astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise MemorizationError(
            f"Expected integer indices or a mask of the images as {what}, got values "
            f"such as {array[0]!r}. Images that have names can be listed in a file, "
            "which is a data set of its own."
        )
    outside = array[(array < 0) | (array >= n)]
    if len(outside):
        raise MemorizationError(
            f"Index {outside[0]} of {what} is out of range for a data set of {n} images."
        )
    return array.astype(np.int64)


def _named(given: Any) -> str:
    return f"a {type(given).__name__}"
