"""Labelled images for probes, divided into training and test images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from lightly_memloc.data import (
    Study,
    image_indices,
    read_image,
    targets_of,
    view_transform,
)
from lightly_memloc.errors import MemorizationError

_TEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class ProbeTask:
    """Labelled images to train a classifier on, and further ones to test it on.

    Images without a label (a target that is negative, None, NaN or an empty string) are
    left out of ``train`` and ``test``, and counted.

    Attributes:
        dataset: Map-style data set of labelled images without a transform of its own.
        train: Indices of the images to train on.
        test: Indices of the images to test on; disjoint from ``train``.
        transform: A transform without augmentation that converts an image to a tensor.
        train_transform: Augmentation of the training images, for the probes that run
            the encoder on them in each epoch; ``transform`` by default.
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        unlabelled: Number of training and test images without a label, which are left
            out.

    Raises:
        MemorizationError: If the classes are unknown or fewer than two, an image is
            both a training and a test image, or there are no labelled ones of either.
    """

    dataset: Any
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    transform: Callable[[Any], Any]
    train_transform: Callable[[Any], Any] | None = None
    batch_size: int = 256
    num_workers: int = 0
    unlabelled: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        targets = targets_of(self.dataset)
        for name in ("train", "test"):
            indices = image_indices(getattr(self, name), len(self.dataset), name)
            if not len(indices):
                raise MemorizationError(
                    f"There are no images to {name} a probe on: {name} is empty."
                )
            if targets is not None:
                unlabelled = targets[indices] < 0
                if unlabelled.all():
                    raise MemorizationError(
                        f"There are no labelled images to {name} a probe on: none of "
                        f"the {len(indices)} images of {name} has a label."
                    )
                indices = indices[~unlabelled]
                n_unlabelled = self.unlabelled + int(unlabelled.sum())
                object.__setattr__(self, "unlabelled", n_unlabelled)
            object.__setattr__(self, name, indices)
        both = np.intersect1d(self.train, self.test)
        if len(both):
            raise MemorizationError(
                f"Image {both[0]} and {len(both) - 1} more are both training and test "
                "images. Remove them from one of the two."
            )
        if targets is None or len(np.unique(targets[self.train])) < 2:
            raise MemorizationError(
                "A probe needs labelled images of at least two classes. In a folder of "
                "images, each class is a subfolder."
            )
        object.__setattr__(self, "_targets", targets)

    @classmethod
    def of_study(
        cls, study: Study, *, batch_size: int = 256, num_workers: int = 0
    ) -> "ProbeTask":
        """Make a task of a study: train on shared, candidate and independent images.

        The external images test.

        Args:
            study: The study, with roles and a transform without augmentation.
            batch_size: Images per batch.
            num_workers: Worker processes that load images.

        Raises:
            MemorizationError: If the study lacks either, or there are no such images.
        """
        if study.plain_transform is None:
            raise MemorizationError(
                "Probes need images without augmentation: give the study a "
                "plain_transform."
            )
        roles = study.roles
        return cls(
            study.dataset,
            np.union1d(roles.trained_f, roles.trained_g),
            roles.external,
            study.plain_transform,
            batch_size=batch_size,
            num_workers=num_workers,
        )

    @classmethod
    def of_dataset(
        cls,
        dataset: Any,
        transform: Callable[[Any], Any],
        seed: int = 0,
        batch_size: int = 256,
        num_workers: int = 0,
    ) -> "ProbeTask":
        """Make a task of a whole data set, with a fifth of each class for testing.

        Args:
            dataset: Map-style data set of labelled images without a transform of its
                own.
            transform: A transform without augmentation that converts an image to a
                tensor.
            seed: Random seed of the division.
            batch_size: Images per batch.
            num_workers: Worker processes that load images.

        Raises:
            MemorizationError: If the classes are unknown or fewer than two, or a class
                has a single image.
        """
        images, targets = np.arange(len(dataset)), targets_of(dataset)
        labelled = images if targets is None else images[targets >= 0]
        try:
            _, test = train_test_split(
                labelled,
                test_size=_TEST_SHARE,
                random_state=seed,
                stratify=None if targets is None else targets[labelled],
            )
        except ValueError as error:
            raise MemorizationError(
                f"Cannot hold out a fifth of each class for testing: {error}"
            ) from error
        return cls(
            dataset,
            np.setdiff1d(images, test),
            np.sort(test),
            transform,
            batch_size=batch_size,
            num_workers=num_workers,
        )

    @property
    def num_classes(self) -> int:
        """Number of classes: one more than the largest target."""
        return int(self._all_targets.max()) + 1

    @property
    def train_targets(self) -> NDArray[np.int64]:
        """Classes of the training images."""
        return self._all_targets[self.train]

    @property
    def test_targets(self) -> NDArray[np.int64]:
        """Classes of the test images."""
        return self._all_targets[self.test]

    def train_loader(self, seed: int) -> DataLoader[Any]:
        """Return batches ``(images, targets)`` to train on, shuffled by the seed.

        An image that would be alone in the last batch of an epoch waits for the next
        epoch: BatchNorm cannot be trained on a single image.
        """
        views = _Views(
            self.dataset, self.train_transform or self.transform, self._all_targets
        )
        return DataLoader(
            Subset(views, self.train.tolist()),
            self.batch_size,
            shuffle=True,
            drop_last=len(self.train) % self.batch_size == 1,
            num_workers=self.num_workers,
            generator=torch.Generator().manual_seed(seed),
        )

    def loader(self, indices: NDArray[np.int64]) -> DataLoader[Any]:
        """Return batches ``(images, targets)`` of images in order, not augmented."""
        views = _Views(self.dataset, self.transform, self._all_targets)
        return DataLoader(
            Subset(views, indices.tolist()),
            self.batch_size,
            num_workers=self.num_workers,
            # Without it, each pass draws a number from the global generator.
            generator=torch.Generator(),
        )

    @property
    def _all_targets(self) -> NDArray[np.int64]:
        targets: NDArray[np.int64] = vars(self)["_targets"]
        return targets


class _Views(Dataset[tuple[Tensor, int]]):
    """One view of each image with its target."""

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Any], Any],
        targets: NDArray[np.int64],
    ) -> None:
        self.dataset = dataset
        self.targets = targets
        self.transform = view_transform(transform)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, *_ = read_image(self.dataset, index)
        view = self.transform(image)
        view = view[0] if isinstance(view, list | tuple) else view
        return view, int(self.targets[index])
