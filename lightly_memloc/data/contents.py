"""Contents of images: whether they are still those that were measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightly_memloc.data.dataset import read_image
from lightly_memloc.data.signature import Signature, pixel_digest
from lightly_memloc.errors import UnreadableImageError
from lightly_memloc.runtime import generators_restored, seed_generators, tracked

_BYTES = 16
_SAMPLED = 256


class Contents:
    """Digests of the pixels of images, collected while they are read.

    Args:
        indices: Indices of the images, ascending.
    """

    def __init__(self, indices: NDArray[np.int64]) -> None:
        self._indices = indices
        self._digests = np.zeros((len(indices), _BYTES), dtype=np.uint8)

    def add(
        self, indices: NDArray[np.int64], signatures: Sequence[Signature | None]
    ) -> None:
        """Add images that were read.

        Args:
            indices: Their indices.
            signatures: Their signatures; None leaves an image out.
        """
        places = np.searchsorted(self._indices, indices)
        for place, signature in zip(places, signatures, strict=True):
            if signature is not None:
                digest = bytes.fromhex(signature.digest)
                self._digests[place] = np.frombuffer(digest, dtype=np.uint8)

    def state(self) -> Tensor:
        """Return the digests, shape ``(N, 16)``; zero for images not read yet."""
        return torch.from_numpy(self._digests)

    def merge(self, *states: Tensor) -> None:
        """Add the digests of other processes, or of an interrupted measurement.

        Args:
            states: What their :meth:`state` returned.
        """
        for state in states:
            self._digests |= state.numpy()

    def known(self, at_most: int | None = None) -> dict[int, str]:
        """Return the digests of images that were read, by index.

        Args:
            at_most: Number of images, evenly spread; all by default.
        """
        read = np.flatnonzero(self._digests.any(axis=1))
        if at_most is not None and len(read) > at_most:
            read = read[np.linspace(0, len(read) - 1, at_most).astype(int)]
        return {
            int(self._indices[place]): self._digests[place].tobytes().hex()
            for place in read
        }

    def fingerprint(self) -> dict[str, str]:
        """Return the digests of up to 256 images, evenly spread, by index.

        A change of other images is not noticed. Of N images of which a share p was
        replaced, the sample contains none with a probability of ``(1 - p) ** 256``.
        """
        return {str(index): of for index, of in self.known(_SAMPLED).items()}


def changed_images(
    dataset: Any, known: Mapping[int, str], *, seed: int = 0, num_workers: int = 0
) -> list[int]:
    """Read images and find those with other pixels than before.

    Images that are missing or unreadable have changed, too.

    Args:
        dataset: Map-style data set of images.
        known: Digests of the images' pixels by index, as ``Signature.digest``.
        seed: Random seed of the views that the images were read for. It only matters
            if the data set has a random transform of its own.
        num_workers: Worker processes that load images.

    Returns:
        Indices of the changed images, ascending.
    """
    there = sorted(index for index in known if index < len(dataset))
    found = _digests(dataset, there, seed, num_workers)
    return [index for index in sorted(known) if found.get(index) != known[index]]


def sampled_digests(
    dataset: Any, indices: NDArray[np.int64], *, seed: int = 0, num_workers: int = 0
) -> dict[str, str]:
    """Read images and return the digests that :meth:`Contents.fingerprint` returns.

    Args:
        dataset: Map-style data set of images.
        indices: Indices of the images, ascending.
        seed: Random seed, as for :func:`changed_images`.
        num_workers: Worker processes that load images.
    """
    spread = np.linspace(0, len(indices) - 1, min(_SAMPLED, len(indices))).astype(int)
    found = _digests(dataset, indices[spread].tolist(), seed, num_workers)
    return {str(index): of for index, of in found.items() if of}


def _digests(
    dataset: Any, indices: Sequence[int], seed: int, num_workers: int
) -> dict[int, str]:
    loader = DataLoader(
        _Digests(dataset, seed),
        batch_size=64,
        sampler=indices,
        num_workers=num_workers,
        collate_fn=list,
        # Otherwise a pass would draw a number from the global generator.
        generator=torch.Generator(),
    )
    found = dict[int, str]()
    for batch in tracked(loader, len(loader), "Comparing images"):
        found.update(batch)
    return found


class _Digests(Dataset[tuple[int, str]]):
    """Images' indices and digests, which are empty for those that cannot be read."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, str]:
        with generators_restored():
            seed_generators(self.seed, index)
            try:
                image, *_ = read_image(self.dataset, index)
            except UnreadableImageError:
                return index, ""
        return index, pixel_digest(image)
