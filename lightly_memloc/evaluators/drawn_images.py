"""Identifying the images of a training batch by the order in which they are drawn."""

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
    """Images that a data loader has drawn and collated ahead of training.

    Attributes:
        indices: Indices of the images, in the order drawn.
        places: For each batch, the position of each row among the images drawn for it;
            None if unknown.
    """

    indices: deque[int] = field(default_factory=deque)
    places: deque[list[int] | None] = field(default_factory=deque)

    def batch(self, size: int) -> list[int]:
        """Remove and return the indices of the next batch."""
        return [self.indices.popleft() for _ in range(min(size, len(self.indices)))]


class _Collate:
    """A collate function that records which drawn image each row contains."""

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
    """The item that each row of a batch contains; None if a row matches none."""
    rows, samples = first_view(batch), [first_view(item) for item in items]
    if rows is None or rows.ndim == 0:
        return None
    places: list[int] = []
    for number, row in enumerate(rows):
        # Try the row's own position first: most collate functions keep the order.
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
    """A data loader's sampler that records the drawn images for each callback."""

    def __init__(self, sampler: Any, dataset: Any, batch_size: int) -> None:
        self.batch_size = batch_size
        self._sampler = sampler
        self._dataset = dataset
        self._records: list[Drawn] = []

    @classmethod
    def watch(cls, loader: DataLoader[Any], record: Drawn) -> "Order | None":
        """Record the order in which a loader draws images; None without a sampler."""
        batches = loader.batch_sampler
        streams = isinstance(loader.dataset, IterableDataset)
        if streams or type(batches) is not BatchSampler:
            return None
        if not isinstance(batches.sampler, cls):
            batches.sampler = cls(batches.sampler, loader.dataset, batches.batch_size)
        order: Order = batches.sampler
        # Worker processes collate elsewhere, so nothing can be recorded there. torch's
        # default function keeps the order, so nothing needs to be recorded.
        collate = loader.collate_fn
        if loader.num_workers == 0 and not (
            collate is default_collate or isinstance(collate, _Collate)
        ):
            loader.collate_fn = _Collate(collate, order._records)
        if not any(record is other for other in order._records):
            order._records.append(record)
        return order

    def leave(self, loader: DataLoader[Any]) -> None:
        """Restore the loader's own sampler and collate function."""
        if isinstance(loader.collate_fn, _Collate):
            loader.collate_fn = loader.collate_fn.collate
        loader.batch_sampler.sampler = self._sampler  # type: ignore[union-attr]

    def filename(self, index: int) -> str:
        """Return the file name of an image."""
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
        # Lightning calls set_epoch on samplers.
        return getattr(self._sampler, name)


def first_view(images: Any) -> Tensor | None:
    """Return the first view of an image or a batch ``(views, ...)``; None if none."""
    while isinstance(images, list | tuple) and len(images):
        images = images[0]
    return images if isinstance(images, Tensor) else None
