"""Image files of any depth as RGB images of eight bits."""

from os import PathLike
from typing import Any

import numpy as np
from PIL import Image

# Largest value of 16 bits, over the largest of eight.
_DEPTH = 257

_OF_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")


def load_image(path: str | PathLike[str]) -> Image.Image:
    """Read an image file as RGB.

    Grey images of 16 bits, as of microscopes and depth cameras, are scaled to eight
    bits, which Pillow would cut off.

    Args:
        path: The file.

    Returns:
        The image, which is read completely.

    Raises:
        OSError: If it cannot be read, or has values that 16 bits do not hold.
    """
    with Image.open(path) as file:
        if file.mode.startswith("F"):
            raise OSError(
                f"images of mode {file.mode} have no known range: convert them to 8 or "
                "16 bits"
            )
        return _scaled(file) if file.mode in _OF_SIXTEEN_BITS else file.convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    pixels: Any = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise OSError("values do not fit in 16 bits: convert the image to 8 or 16 bits")
    eight = np.round(pixels / _DEPTH).astype(np.uint8)
    return Image.fromarray(eight).convert("RGB")
