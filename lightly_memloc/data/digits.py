"""The embedded data set: scikit-learn's handwritten digits."""

from collections.abc import Callable
from typing import Any

from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Dataset


class Digits(Dataset[tuple[Any, int, str]]):
    """1,797 scans of handwritten digits [0] as RGB images of 8x8 pixels.

    The images come with scikit-learn; nothing is downloaded. Items are
    ``(image, target, filename)``, with file names such as ``"7/0007.png"``.

    - [0]: Optical Recognition of Handwritten Digits, 1998,
      https://archive.ics.uci.edu/dataset/80

    Args:
        transform: Applied to each image, for example to make training views. By default
            items contain the image itself, as measurements need it.

    Attributes:
        targets: The digit of each image.
        filenames: The file name of each image.
        classes: Names of the ten classes.

    Examples:
        >>> from lightly_memloc.data import Digits
        >>> image, target, filename = Digits()[7]
        >>> image.size, image.mode, target, filename
        ((8, 8), 'RGB', 7, '7/0007.png')
    """

    def __init__(self, transform: Callable[[Image.Image], Any] | None = None) -> None:
        bunch = load_digits()
        pixels = (bunch.images * (255 / 16)).round().astype("uint8")
        self.images = [Image.fromarray(image).convert("RGB") for image in pixels]
        self.transform = transform
        self.targets: list[int] = bunch.target.tolist()
        self.classes = [str(digit) for digit in range(10)]
        self.filenames = [
            f"{target}/{index:04d}.png" for index, target in enumerate(self.targets)
        ]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int, str]:
        image = self.images[index]
        item = image if self.transform is None else self.transform(image)
        return item, self.targets[index], self.filenames[index]
