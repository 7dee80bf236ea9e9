"""Seeding and restoring the CPU's global random generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the states of torch's, numpy's and random's generators on exit."""
    torch_state = torch.get_rng_state()
    numpy_state, random_state = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(random_state)


def seed_generators(*entropy: int) -> None:
    """Seed torch's, numpy's and random's generators from several numbers.

    Args:
        entropy: Non-negative integers. Different combinations give different streams.
    """
    seeds = np.random.SeedSequence(entropy).generate_state(3)
    # torch.manual_seed seeds every device and takes a hundred times as long.
    torch.default_generator.manual_seed(int(seeds[0]))
    np.random.seed(seeds[1])
    random.seed(int(seeds[2]))
