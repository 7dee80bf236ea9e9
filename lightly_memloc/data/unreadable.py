"""Finding the images of a data set that cannot be read."""

from typing import Any

from lightly_memloc.data.multi_view import read_image
from lightly_memloc.errors import UnreadableImageError


def unreadable_images(dataset: Any) -> list[int]:
    """Read every image once and return the indices of the unreadable ones.

    Args:
        dataset: A map-style data set of images.
    """

    def is_unreadable(index: int) -> bool:
        try:
            read_image(dataset, index)
        except UnreadableImageError:
            return True
        return False

    return [index for index in range(len(dataset)) if is_unreadable(index)]
