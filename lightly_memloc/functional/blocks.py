"""How much is worked on at a time: what suits a core's cache, or a GPU."""

from torch import Tensor

# Each small block would cost a GPU as much as its start.
_OF_ACCELERATOR = 1 << 25


def block_size(values: Tensor, of_cpu: int) -> int:
    """Return how many elements of a tensor to work on at a time.

    Args:
        values: The tensor; its device counts.
        of_cpu: The number on a CPU.
    """
    return of_cpu if values.device.type == "cpu" else _OF_ACCELERATOR
