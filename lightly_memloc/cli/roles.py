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
    """Split a data set at random; a role of no given size gets a tenth of it."""
    unreadable = unreadable_images(dataset) if skip_unreadable else []
    print_skipped(filename_of(dataset, index) for index in unreadable)
    tenth = len(dataset) // 10
    return MemorizationSplit.random(
        len(dataset),
        candidate=tenth if candidate is None else candidate,
        independent=tenth if independent is None else independent,
        external=tenth if external is None else external,
        seed=seed,
        exclude=unreadable,
    )
