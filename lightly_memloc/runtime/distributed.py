"""The processes of a distributed run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import distributed, nn

from lightly_memloc.errors import MemorizationError


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gathered(value: Any) -> list[Any]:
    """Return the values of all ranks, in order.

    Args:
        value: The value of this rank; any object that can be pickled.
    """
    values = [None] * rank_and_world_size()[1]
    if len(values) == 1:
        return [value]
    distributed.all_gather_object(values, value)
    return values


def share_buffers(models: Iterable[nn.Module]) -> None:
    """Copy the buffers of the first rank to all ranks.

    The statistics of BatchNorm differ between the ranks of a training run.

    Args:
        models: The models, the same ones on each rank.
    """
    if rank_and_world_size()[1] > 1:
        for model in models:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


@contextmanager
def failing_together() -> Iterator[None]:
    """Fail on all ranks if any rank fails, so that none keeps waiting for another.

    Raises:
        MemorizationError: If another rank failed. The message contains its error.
    """
    try:
        yield
    except Exception as error:
        gathered(reason(error))
        raise
    failures = [failure for failure in gathered(None) if failure is not None]
    if failures:
        raise MemorizationError(f"Another process failed: {failures[0]}")


def reason(error: Exception) -> str:
    """Return an error's message, preceded by its type unless this package raised it."""
    if isinstance(error, MemorizationError):
        return str(error)
    return f"{type(error).__name__}: {error}."
