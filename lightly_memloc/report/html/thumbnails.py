"""Small pictures of images, as text that a page can hold."""

import base64
import io
from collections.abc import Iterable
from typing import Any

from PIL import Image
from torchvision.transforms.functional import to_pil_image

_SIDE = 96
_SMALLEST = 64


def thumbnails(dataset: Any, indices: Iterable[int]) -> dict[int, str]:
    """Make a thumbnail of each image, as a data URI.

    Args:
        dataset: Map-style data set of images, or of tuples that begin with one.
        indices: The images. Those that cannot be read get none.
    """
    made = {}
    for index in indices:
        try:
            item = dataset[index]
        except (OSError, ValueError):
            continue
        image = item[0] if isinstance(item, tuple | list) else item
        made[index] = thumbnail(
            image if isinstance(image, Image.Image) else to_pil_image(image)
        )
    return made


def thumbnail(image: Image.Image) -> str:
    """Make a thumbnail of at most 96 pixels a side, as a data URI.

    Tiny images are enlarged pixel by pixel, so that their pixels are seen.

    Args:
        image: An image of any size and mode.
    """
    image = image.convert("RGB")
    factor = -(-_SMALLEST // max(image.size))
    if factor > 1:
        enlarged = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
        return _encoded(enlarged, "png", optimize=True)
    image.thumbnail((_SIDE, _SIDE))
    return _encoded(image, "jpeg", quality=80)


def _encoded(image: Image.Image, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
