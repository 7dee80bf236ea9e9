"""Splitting a data set as commands ask for it."""

from typing import Any

from lightly_memloc.cli.output import print_skipped
from lightly_memloc.data import MemorizationSplit, filename_of, unreadable_images


def random_roles(
    dataset: Any,
    candidate: int | None,
    independent: int | None,
    external: int | None,
    seed: int,
    skip_unreadable: bool,
) -> MemorizationSplit:
    """Split a data set at random, a tenth for a role of no given size."""
    unreadable = unreadable_images(dataset) if skip_unreadable else []
    print_skipped(filename_of(dataset, index) for index in unreadable)
    return MemorizationSplit.of_dataset(
        dataset, candidate, independent, external, seed, unreadable
    )
