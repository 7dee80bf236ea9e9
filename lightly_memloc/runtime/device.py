"""The device to measure on."""

import torch
from torch import nn

from lightly_memloc.errors import MemorizationError


def resolve_device(device: str | torch.device, model: nn.Module) -> torch.device:
    """Settle the device: ``"auto"`` is the model's own, or else an accelerator.

    Args:
        device: ``"auto"`` or a torch device.
        model: The encoder to be measured.

    Raises:
        MemorizationError: If torch has no such device.
    """
    if str(device) != "auto":
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise MemorizationError(
                f"Cannot measure on device {str(device)!r}: {error}"
            ) from error
        return torch.device(device)
    own = next((p.device for p in model.parameters()), torch.device("cpu"))
    if own.type != "cpu":
        return own
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return own


def state_device(device: torch.device) -> torch.device:
    """Where metrics keep their state: in double precision, which MPS lacks."""
    return torch.device("cpu") if device.type == "mps" else device
