"""Loading the views of chosen images, batch by batch, each image once over all ranks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset

from lightly_memloc.data import MultiViewDataset, filename_of
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.evaluators.progress import tracked


@dataclass(frozen=True)
class ViewBatch:
    """Views of a batch of images.

    Attributes:
        views: Shape ``(B, V, C, H, W)``.
        index: Index of each image in the data set, shape ``(B,)``.
        targets: The images' targets, as the data set gives them.
    """

    views: Tensor
    index: Tensor
    targets: list[Any]

    @property
    def flat(self) -> Tensor:
        """The views as the encoder takes them, those of an image adjacent."""
        return self.views.flatten(0, 1)


class ViewLoader:
    """Iterate over the views of images, sharded over ranks without repetition.

    Args:
        dataset: The multi-view data set.
        indices: Indices of the images to load.
        batch_size: Images per batch.
        num_workers: Worker processes.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        description: What the progress bar says.

    Raises:
        MemorizationError: If an index is out of range or there are fewer images than
            ranks.

    Attributes:
        skipped: File names of the images left out so far.
    """

    def __init__(
        self,
        dataset: MultiViewDataset,
        indices: NDArray[np.int64],
        batch_size: int,
        num_workers: int,
        skip_unreadable: bool,
        description: str,
    ) -> None:
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(dataset):
            raise MemorizationError(
                f"Indices {indices.min()} to {indices.max()} do not fit a data set of "
                f"{len(dataset)} images."
            )
        if batch_size < 1:
            raise MemorizationError(f"Expected batch_size >= 1, got {batch_size}.")
        self.rank, self.world_size = _rank_and_world_size()
        if len(indices) < self.world_size:
            raise MemorizationError(
                f"Cannot measure {len(indices)} images with {self.world_size} "
                "processes: each needs at least one."
            )
        self.dataset = dataset
        self.indices = indices
        self.description = description
        self.skip_unreadable = skip_unreadable
        self.skipped: list[str] = []
        self._loader = DataLoader(
            _Reader(dataset),
            batch_size=batch_size,
            sampler=indices[self.rank :: self.world_size].tolist(),
            num_workers=num_workers,
            collate_fn=_collate,
            # The global generator would give the workers' base seed, and move on.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[ViewBatch]:
        loaded = False
        batches = iter(self._loader)
        total = len(self._loader)
        for batch, unreadable in tracked(batches, total, self.description):
            if unreadable and not self.skip_unreadable:
                raise UnreadableImageError(unreadable[0].message)
            self.skipped += [image.filename for image in unreadable]
            if batch is not None:
                loaded = True
                yield batch
        if not loaded:
            raise MemorizationError(
                "None of the images could be read, among them "
                f"{', '.join(self.skipped[:3])}."
            )

    def filenames(self, indices: Iterable[int]) -> list[str]:
        """File names of images."""
        return [filename_of(self.dataset.dataset, int(index)) for index in indices]

    def all_skipped(self) -> list[str]:
        """File names of the images that any rank left out, sorted."""
        return sorted(name for names in gathered(self.skipped) for name in names)


def gathered(value: Any) -> list[Any]:
    """A value of every rank, in the order of ranks."""
    values = [None] * _rank_and_world_size()[1]
    if len(values) == 1:
        return [value]
    distributed.all_gather_object(values, value)
    return values


def _rank_and_world_size() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


@dataclass(frozen=True)
class _Unreadable:
    """An image that cannot be read: raised by the main process, in its own words."""

    filename: str
    message: str


_Item = tuple[int, Tensor, Any] | _Unreadable


class _Reader(Dataset[_Item]):
    """Items with their indices."""

    def __init__(self, dataset: MultiViewDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> _Item:
        try:
            views, target, _ = self.dataset[index]
        except UnreadableImageError as error:
            filename = filename_of(self.dataset.dataset, index)
            return _Unreadable(filename, str(error))
        return index, views, target


def _collate(items: list[_Item]) -> tuple[ViewBatch | None, list[_Unreadable]]:
    unreadable = [item for item in items if isinstance(item, _Unreadable)]
    readable = [item for item in items if not isinstance(item, _Unreadable)]
    if not readable:
        return None, unreadable
    index, views, targets = zip(*readable, strict=True)
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        raise MemorizationError(
            f"Expected the views of all images to have one shape, got {sorted(shapes)}. "
            "Crop or resize to a fixed size in the transform."
        )
    return ViewBatch(torch.stack(views), torch.tensor(index), list(targets)), unreadable
