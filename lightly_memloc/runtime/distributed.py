"""The processes of a distributed run."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning.utilities import rank_zero_only
from torch import distributed, nn

from lightly_memloc.errors import MemorizationError


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def is_first_process(devices: int) -> bool:
    """Whether this is the first, or only, process of a training.

    Also before the processes of the training are connected. A training on one device is
    a process of its own, whatever rank the environment gives it: that of a sweep, for
    example.

    Args:
        devices: Number of devices that train together.
    """
    return devices == 1 or getattr(rank_zero_only, "rank", 0) == 0


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
