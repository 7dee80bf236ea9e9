"""A study: what there is to measure, from which each evaluator takes what it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from lightly_memloc.data import MemorizationSplit
from lightly_memloc.errors import MemorizationError


@dataclass(frozen=True)
class Study:
    """Encoders, images and how to look at them.

    Attributes:
        model: The encoder.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation.
        reference: The reference encoder, if there is one.
        split: The roles of the images, if known.
        indices: Images that the encoder was trained on; by default the split's
            candidates, or all images.
        holdout: Images that it never saw; by default the split's external images.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        seed: Seed of all that is random.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        state_file: Where the state is kept as a measurement goes on.

    Raises:
        MemorizationError: If the split was made for another data set.
    """

    model: nn.Module
    dataset: Any
    transform: Callable[[Any], Any]
    reference: nn.Module | None = None
    split: MemorizationSplit | None = None
    indices: ArrayLike | None = None
    holdout: ArrayLike | None = None
    layers: str | Sequence[str] = "auto"
    n_views: int = 10
    batch_size: int = 64
    num_workers: int = 0
    seed: int = 0
    skip_unreadable: bool = False
    state_file: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.split is not None:
            self.split.refuse_other(self.dataset)

    @property
    def members(self) -> ArrayLike | None:
        """Images that the encoder was trained on; None for all."""
        if self.indices is None and self.split is not None:
            return self.split.candidate
        return self.indices

    @property
    def non_members(self) -> ArrayLike | None:
        """Images that the encoder never saw, if known."""
        if self.holdout is None and self.split is not None:
            return self.split.external
        return self.holdout

    def roles(self) -> MemorizationSplit:
        """Return the roles of the images: of the split, or of members and holdout.

        Raises:
            MemorizationError: If neither is known.
        """
        if self.split is not None:
            return self.split
        if self.holdout is None:
            raise MemorizationError(
                "LayerMem compares images that encoders were trained on with others: "
                "give a split, or a holdout."
            )
        n = len(self.dataset)
        candidate = np.setdiff1d(np.arange(n), self.holdout)
        return MemorizationSplit(
            n,
            candidate=candidate if self.indices is None else np.asarray(self.indices),
            external=np.asarray(self.holdout),
        )

    def trial(self, n_images: int) -> "Study":
        """Return a study of a few images of each role, at least two."""
        n = max(2, n_images)
        members, non_members = self.members, self.non_members
        everything = np.arange(len(self.dataset))
        return replace(
            self,
            indices=np.asarray(everything if members is None else members)[:n],
            holdout=None if non_members is None else np.asarray(non_members)[:n],
            split=self.split
            and replace(
                self.split,
                candidate=self.split.candidate[:n],
                independent=self.split.independent[:n],
                external=self.split.external[:n],
            ),
        )

    def options(self) -> dict[str, Any]:
        """Return the arguments that all evaluators share."""
        return {
            "layers": self.layers,
            "n_views": self.n_views,
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "seed": self.seed,
            "skip_unreadable": self.skip_unreadable,
            "state_file": self.state_file,
        }
