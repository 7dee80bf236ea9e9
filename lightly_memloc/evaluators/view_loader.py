"""Loading views in batches, each image exactly once across all ranks."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lightly_memloc.data import MultiViewDataset, Signature, filename_of
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.runtime import PassOptions, rank_and_world_size


class UnreadableImage(NamedTuple):
    """An image that cannot be read, and the message to raise in the main process."""

    filename: str
    message: str


class ViewBatch(NamedTuple):
    """Views of a batch of images.

    Attributes:
        views: Shape ``(B, V, C, H, W)``; None if no image of the batch can be read.
        indices: Index of each image in the data set, shape ``(B,)``.
        targets: The images' targets, as the data set returns them.
        unreadable: The images of the batch that cannot be read.
        signatures: What identifies each image; None if the data set does not say.
    """

    views: Tensor | None
    indices: Tensor
    targets: list[Any]
    unreadable: list[UnreadableImage]
    signatures: Sequence[Signature | None] = ()


def view_loader(
    dataset: MultiViewDataset,
    indices: NDArray[Any],
    options: PassOptions,
    first_batch: int = 0,
) -> DataLoader[Any]:
    """Create a loader of this rank's share of the images.

    Args:
        dataset: The multi-view data set.
        indices: Indices of the images of all ranks.
        options: How the pass over the images runs.
        first_batch: Number of batches to skip at the start.

    Returns:
        A loader of :class:`ViewBatch`.
    """
    rank, world_size = rank_and_world_size()
    share = indices[rank::world_size][first_batch * options.batch_size :]
    return DataLoader(
        _Reader(dataset),
        batch_size=options.batch_size,
        sampler=_Share(share.tolist()),
        num_workers=options.num_workers,
        collate_fn=_collate,
        # Otherwise the workers' base seed would be drawn from the global generator.
        generator=torch.Generator(),
    )


class _Share(DistributedSampler[Any]):
    """Indices of one rank, without repetition.

    Lightning keeps a DistributedSampler. It would replace any other sampler by one that
    repeats images until all ranks have the same number.
    """

    def __init__(self, indices: list[int]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the images are the same in each epoch."""


_Item = tuple[int, Tensor, Any, Signature | None] | UnreadableImage


class _Reader(Dataset[_Item]):
    """Items with their indices."""

    def __init__(self, dataset: MultiViewDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> _Item:
        self.dataset.signature = None
        try:
            views, target, _ = self.dataset[index]
        except UnreadableImageError as error:
            filename = filename_of(self.dataset.dataset, index)
            return UnreadableImage(filename, str(error))
        return index, views, target, self.dataset.signature


def _collate(items: list[_Item]) -> ViewBatch:
    unreadable = [item for item in items if isinstance(item, UnreadableImage)]
    readable = [item for item in items if not isinstance(item, UnreadableImage)]
    if not readable:
        return ViewBatch(None, torch.zeros(0, dtype=torch.int64), [], unreadable)
    indices, views, targets, signatures = zip(*readable, strict=True)
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        raise MemorizationError(
            f"Expected the views of all images to have one shape, got {sorted(shapes)}. "
            "Crop or resize to a fixed size in the transform."
        )
    return ViewBatch(
        torch.stack(views),
        torch.tensor(indices),
        list(targets),
        unreadable,
        signatures,
    )
