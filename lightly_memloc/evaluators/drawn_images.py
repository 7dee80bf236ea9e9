"""Which images a batch of training contains, by the order in which they are drawn."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    Sampler,
    default_collate,
)

from lightly_memloc.data import filename_of


@dataclass
class Drawn:
    """What a data loader drew and collated, and training has not seen yet.

    Attributes:
        indices: Indices of the images, in the order drawn.
        places: For each batch, which of its drawn images each row is; None if unknown.
    """

    indices: deque[int] = field(default_factory=deque)
    places: deque[list[int] | None] = field(default_factory=deque)

    def batch(self, size: int) -> list[int]:
        """Take the indices of the next batch."""
        return [self.indices.popleft() for _ in range(min(size, len(self.indices)))]


class _Collate:
    """A collate function that records which of the images drawn each row is."""

    def __init__(self, collate: Callable[[Any], Any], records: list[Drawn]) -> None:
        self.collate = collate
        self._records = records

    def __call__(self, items: Any) -> Any:
        batch = self.collate(items)
        places = _places(items, batch)
        for record in self._records:
            record.places.append(places)
        return batch


def _places(items: Sequence[Any], batch: Any) -> list[int] | None:
    """Which item each row of a batch is; None if rows and items differ."""
    rows, samples = first_view(batch), [first_view(item) for item in items]
    if rows is None or rows.ndim == 0:
        return None
    places: list[int] = []
    for number, row in enumerate(rows):
        # A row's own place first: most collate functions keep the order.
        own = range(len(samples))[number : number + 1]
        found = (
            at for at in chain(own, range(len(samples))) if _is_equal(samples[at], row)
        )
        place = next(found, None)
        if place is None:
            return None
        places.append(place)
    return places


def _is_equal(sample: Tensor | None, row: Tensor) -> bool:
    return sample is not None and torch.equal(sample, row)


class Order(Sampler[int]):
    """A data loader's sampler that records the images it draws, for each callback."""

    def __init__(self, sampler: Any, dataset: Any, batch_size: int) -> None:
        self.batch_size = batch_size
        self._sampler = sampler
        self._dataset = dataset
        self._records: list[Drawn] = []

    @classmethod
    def watch(cls, loader: DataLoader[Any], record: Drawn) -> "Order | None":
        """Record the order of a loader's images, if it draws them by a sampler."""
        batches = loader.batch_sampler
        streams = isinstance(loader.dataset, IterableDataset)
        if streams or type(batches) is not BatchSampler:
            return None
        if not isinstance(batches.sampler, cls):
            batches.sampler = cls(batches.sampler, loader.dataset, batches.batch_size)
        order: Order = batches.sampler
        # Worker processes collate where nothing can be recorded; torch's own function
        # keeps every image in its place, so that there is nothing to record.
        collate = loader.collate_fn
        if loader.num_workers == 0 and not (
            collate is default_collate or isinstance(collate, _Collate)
        ):
            loader.collate_fn = _Collate(collate, order._records)
        if not any(record is other for other in order._records):
            order._records.append(record)
        return order

    def leave(self, loader: DataLoader[Any]) -> None:
        """Give the loader its sampler and its collate function back."""
        if isinstance(loader.collate_fn, _Collate):
            loader.collate_fn = loader.collate_fn.collate
        loader.batch_sampler.sampler = self._sampler  # type: ignore[union-attr]

    def filename(self, index: int) -> str:
        """An image's file name."""
        return filename_of(self._dataset, index)

    def __iter__(self) -> Iterator[int]:
        for record in self._records:
            record.indices.clear()
            record.places.clear()
        for index in self._sampler:
            for record in self._records:
                record.indices.append(int(index))
            yield index

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        # Lightning tells samplers the epoch.
        return getattr(self._sampler, name)


def first_view(images: Any) -> Tensor | None:
    """The first view of an image or a batch ``(views, ...)``."""
    while isinstance(images, list | tuple) and len(images):
        images = images[0]
    return images if isinstance(images, Tensor) else None
