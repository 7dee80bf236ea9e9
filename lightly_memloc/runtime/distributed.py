"""The processes of a distributed run."""

from typing import Any

from torch import distributed


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank and the number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gathered(value: Any) -> list[Any]:
    """A value of every rank, in the order of ranks."""
    values = [None] * rank_and_world_size()[1]
    if len(values) == 1:
        return [value]
    distributed.all_gather_object(values, value)
    return values
