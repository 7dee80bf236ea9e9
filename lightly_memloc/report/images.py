"""Images of a page: the most and the least memorised, as thumbnails."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lightly_memloc.report.saved import Saved
from lightly_memloc.results import LayerMemResult, SSLMemRunsResult

_GALLERY = 12
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


@dataclass(frozen=True)
class Scored:
    """A scored image.

    Attributes:
        index: Its index in the data set.
        name: Its file name.
        ssl_mem: Its SSLMem in the last layer.
    """

    index: int
    name: str
    ssl_mem: float


@dataclass(frozen=True)
class Gallery:
    """The images at both ends.

    Attributes:
        most: The most memorised, in descending order.
        least: The least memorised, in ascending order.
    """

    most: list[Scored]
    least: list[Scored]

    @classmethod
    def of(cls, saved: Saved) -> "Gallery":
        """Choose the images of a study; none if they are not scored.

        Args:
            saved: The study.
        """
        scored = saved.first(LayerMemResult) or saved.first(SSLMemRunsResult)
        if scored is None:
            return cls([], [])
        every = len(scored.samples_to_pandas())
        ranked = scored.top_samples(every).dropna(subset=["ssl_mem"])
        columns = (ranked[name].tolist() for name in ("index", "filename", "ssl_mem"))
        images = [Scored(*row) for row in zip(*columns, strict=True)]
        return cls(images[:_GALLERY], images[_GALLERY:][: -_GALLERY - 1 : -1])


def thumbnails(dataset: Any, names: Mapping[int, str]) -> dict[int, str]:
    """Make a thumbnail of each image, as a data URI.

    Args:
        dataset: Map-style data set of images, or of tuples that begin with one.
        names: File names of the images, by index. Images that cannot be read, or have
            another name in the data set, get no thumbnail.
    """
    from lightly_memloc.data import filename_of

    made = {}
    for index, name in names.items():
        try:
            if filename_of(dataset, index) != name:
                continue
            item = dataset[index]
            image = item[0] if isinstance(item, tuple | list) else item
            made[index] = thumbnail(as_image(image))
        except _UNREADABLE:
            continue
    return made


def thumbnail(image: Image.Image) -> str:
    """Make a thumbnail of at most 96 pixels a side, as a data URI.

    Tiny images are enlarged so that their pixels can be seen.

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


def as_image(image: Any) -> Image.Image:
    """Return an image that a data set gives, maybe as tensor or array, as PIL image.

    Args:
        image: A PIL image, a tensor or an array.
    """
    if isinstance(image, Image.Image):
        return image
    from torchvision.transforms.functional import to_pil_image

    opened: Image.Image = to_pil_image(image)
    return opened


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
