"""The random streams of a training: what is drawn depends on what it is drawn for."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray

from lightly_memloc.runtime import seed_generators


class _Use(IntEnum):
    """What a stream is drawn for; the number is part of the seed."""

    WEIGHTS = 0
    ORDER = 1
    STEPS = 2
    VIEWS = 3


@dataclass(frozen=True)
class Stream:
    """One of the independent random streams of a seed.

    What is drawn is a function of seed, stream and the moment it is drawn for, never of
    what was drawn before. So a training that is interrupted and gone on with, or that
    loads its images with another number of workers, draws the same.

    Attributes:
        seed: The training's seed.
        number: Number of the stream.
    """

    seed: int
    number: int

    def seed_weights(self) -> None:
        """Seed the generators for the initialisation of the weights."""
        self._seed(_Use.WEIGHTS)

    def seed_steps(self, epoch: int, rank: int) -> None:
        """Seed the generators of all devices for what an epoch's steps draw."""
        self._seed(_Use.STEPS, epoch, rank)
        torch.manual_seed(torch.initial_seed())

    def seed_views(self, epoch: int, index: int) -> None:
        """Seed the generators for an image's views in an epoch."""
        self._seed(_Use.VIEWS, epoch, index)

    def order(self, indices: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """Return the images in the order of an epoch."""
        entropy = (self.seed, self.number, _Use.ORDER, epoch)
        return np.random.default_rng(entropy).permutation(indices)

    def _seed(self, *moment: int) -> None:
        seed_generators(self.seed, self.number, *moment)
