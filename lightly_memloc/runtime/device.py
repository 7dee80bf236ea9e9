"""The device to measure, to probe and to train on: one meaning everywhere."""

from typing import Any

import torch
from torch import nn

from lightly_memloc.errors import MemorizationError

_ACCELERATORS = {"cuda": "gpu"}


def resolve_device(device: str | torch.device, model: nn.Module) -> torch.device:
    """Resolve a device: ``"auto"`` is the model's own, or else an accelerator.

    Args:
        device: ``"auto"`` or a torch device, such as ``"cpu"`` or ``"cuda:1"``.
        model: The encoder to be measured.

    Raises:
        MemorizationError: If torch has no such device.
    """
    if str(device) != "auto":
        return _existing(device)
    own = next((p.device for p in model.parameters()), torch.device("cpu"))
    if own.type != "cpu":
        return own
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return own


def trainer_device(device: str | torch.device, devices: int = 1) -> dict[str, Any]:
    """Translate a device into arguments of Lightning's Trainer.

    Args:
        device: ``"auto"`` or a torch device, such as ``"cpu"`` or ``"cuda:1"``.
        devices: Number of devices that train together.

    Returns:
        ``accelerator`` and ``devices``.

    Raises:
        MemorizationError: If torch has no such device, or a single device is named
            for several.

    Examples:
        >>> from lightly_memloc.runtime import trainer_device
        >>> trainer_device("cpu")
        {'accelerator': 'cpu', 'devices': 1}
    """
    if str(device) == "auto":
        return {"accelerator": "auto", "devices": devices}
    on = _existing(device)
    accelerator = _ACCELERATORS.get(on.type, on.type)
    if on.type == "cpu" or on.index is None:
        return {"accelerator": accelerator, "devices": devices}
    if devices != 1:
        raise MemorizationError(
            f"Cannot train on {devices} devices and on {on} alone. Name the kind of "
            f"device, {on.type!r}, or train on one."
        )
    return {"accelerator": accelerator, "devices": [on.index]}


def lacks_bfloat16(device: str | torch.device) -> bool:
    """Whether bfloat16 is computed on a processor without units for it.

    It is up to 20 times slower there than float32. False where torch does not tell.

    Args:
        device: ``"auto"`` or a torch device.
    """
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    on_cpu = not accelerated if str(device) == "auto" else "cpu" in str(device)
    tell = getattr(torch.cpu, "get_capabilities", dict)
    capabilities: dict[str, Any] = tell()
    units = [there for name, there in capabilities.items() if "bf16" in name]
    return on_cpu and bool(units) and not any(units)


def state_device(device: torch.device) -> torch.device:
    """Where metrics keep their state: in double precision, which MPS lacks."""
    return torch.device("cpu") if device.type == "mps" else device


def _existing(device: str | torch.device) -> torch.device:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MemorizationError(
            f"Cannot use device {str(device)!r}: {error}. Expected 'auto', or a device "
            "of torch that this machine has, such as 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    return torch.device(device)
