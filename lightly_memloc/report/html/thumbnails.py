"""Small pictures of images, as text that a page can hold."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from lightly_memloc.data import filename_of

_SIDE = 96
_SMALLEST = 64
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    Image.DecompressionBombError,
)


def thumbnails(dataset: Any, names: Mapping[int, str]) -> dict[int, str]:
    """Make a thumbnail of each image, as a data URI.

    Args:
        dataset: Map-style data set of images, or of tuples that begin with one.
        names: File names of the images, by index. Images that cannot be read get no
            thumbnail, nor those that have another name in the data set.
    """
    made = {}
    for index, name in names.items():
        try:
            if filename_of(dataset, index) != name:
                continue
            item = dataset[index]
            image = item[0] if isinstance(item, tuple | list) else item
            made[index] = thumbnail(
                image if isinstance(image, Image.Image) else to_pil_image(image)
            )
        except _UNREADABLE:
            continue
    return made


def thumbnail(image: Image.Image) -> str:
    """Make a thumbnail of at most 96 pixels a side, as a data URI.

    Tiny images are enlarged pixel by pixel, so that their pixels are seen.

    Args:
        image: An image of any size and mode.
    """
    if image.mode[0] in "IF":
        image = _to_eight_bits(image)
    image = image.convert("RGB")
    factor = -(-_SMALLEST // max(image.size))
    if factor > 1:
        enlarged = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
        return _encoded(enlarged, "png", optimize=True)
    image.thumbnail((_SIDE, _SIDE))
    return _encoded(image, "jpeg", quality=80)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale an image of more than eight bits from its darkest to its brightest."""
    pixels = np.asarray(image, dtype=np.float64)
    span = pixels.max() - pixels.min()
    scaled = (pixels - pixels.min()) * (255 / span if span else 0)
    return Image.fromarray(scaled.astype(np.uint8))


def _encoded(image: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
