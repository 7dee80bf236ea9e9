"""The processes of a distributed run."""

from collections.abc import Iterable
from typing import Any

from torch import distributed, nn

from lightly_memloc.errors import MemorizationError


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


def share_buffers(models: Iterable[nn.Module]) -> None:
    """Give every rank the first one's buffers.

    BatchNorm's statistics differ between the ranks of a training.

    Args:
        models: The models, the same ones on each rank.
    """
    if rank_and_world_size()[1] > 1:
        for model in models:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


def fail_together(error: Exception | None) -> None:
    """Raise on all ranks if one of them failed: alone it would leave the others waiting.

    Args:
        error: This rank's error; None if it has not failed.

    Raises:
        Exception: This rank's own error.
        MemorizationError: If another rank failed; with its error.
    """
    failures = [of for of in gathered(None if error is None else reason(error)) if of]
    if error is not None:
        raise error
    if failures:
        raise MemorizationError(f"Another process failed: {failures[0]}")


def reason(error: Exception) -> str:
    """Return an error's message; with its type, unless this package raised it."""
    if isinstance(error, MemorizationError):
        return str(error)
    return f"{type(error).__name__}: {error}."
