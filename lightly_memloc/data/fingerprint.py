"""Fingerprints of data sets."""

import hashlib
from typing import Any

import numpy as np
from PIL import Image

from lightly_memloc.data.filenames import filename_of
from lightly_memloc.data.multi_view import read_image
from lightly_memloc.errors import UnreadableImageError
from lightly_memloc.runtime import generators_restored, seed_generators

_NAMES, _IMAGES = 10_000, 64


def fingerprint(dataset: Any) -> str:
    """Compute the fingerprint of a data set; equal images in equal order share one.

    It covers the number of images, up to 10,000 file names and the pixels of up to 64
    images, evenly spread. Different fingerprints prove that data sets differ; equal ones
    do not prove that they are equal. Moving a folder does not change the fingerprint.

    Args:
        dataset: Map-style data set of images without a transform of its own.

    Returns:
        16 hexadecimal digits.

    Raises:
        MemorizationError: If an item of the data set is not an image.
    """
    digest = hashlib.sha256(str(len(dataset)).encode())
    for index in _spread(len(dataset), _NAMES):
        digest.update(filename_of(dataset, index).encode() + b"\0")
    with generators_restored():
        for index in _spread(len(dataset), _IMAGES):
            seed_generators(index)
            digest.update(_pixels(dataset, index))
    return digest.hexdigest()[:16]


def _spread(n: int, at_most: int) -> list[int]:
    spread: list[int] = np.linspace(0, n - 1, min(n, at_most)).astype(int).tolist()
    return spread


def _pixels(dataset: Any, index: int) -> bytes:
    try:
        image, *_ = read_image(dataset, index)
    except UnreadableImageError:
        return b"unreadable"
    mode = image.mode if isinstance(image, Image.Image) else ""
    pixels = np.asarray(image)
    return f"{mode}{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()
