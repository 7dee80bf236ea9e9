"""Devices: the same names for measuring, probing and training."""

from typing import Any

import torch
from torch import nn

from lightly_memloc.errors import MemorizationError

_ACCELERATORS = {"cuda": "gpu"}


def resolve_device(device: str | torch.device, model: nn.Module) -> torch.device:
    """Resolve a device name.

    ``"auto"`` is the device of the model. If that is the CPU, it is an accelerator if
    there is one.

    Args:
        device: ``"auto"`` or a torch device, such as ``"cpu"`` or ``"cuda:1"``.
        model: The encoder to be measured.

    Raises:
        MemorizationError: If the device does not exist.
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
    """Convert a device name to arguments of Lightning's Trainer.

    Args:
        device: ``"auto"`` or a torch device, such as ``"cpu"`` or ``"cuda:1"``.
        devices: Number of devices to train on.

    Returns:
        ``accelerator`` and ``devices``.

    Raises:
        MemorizationError: If the device does not exist, or it has an index while
            ``devices`` is more than one.

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
            f"Cannot train on {devices} devices with device {str(on)!r}, which is a "
            f"single one. Use {on.type!r}, or devices=1."
        )
    return {"accelerator": accelerator, "devices": [on.index]}


def lacks_bfloat16(device: str | torch.device) -> bool:
    """Return whether a device is a processor without bfloat16 units.

    There, bfloat16 is up to 20 times slower than float32. False if torch does not
    report the capabilities of the processor.

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
    """Return the device for the state of metrics: MPS lacks double precision."""
    return torch.device("cpu") if device.type == "mps" else device


def _existing(device: str | torch.device) -> torch.device:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MemorizationError(
            f"Cannot use device {str(device)!r}: {error}. Expected 'auto' or a torch "
            "device of this machine, such as 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    return torch.device(device)
