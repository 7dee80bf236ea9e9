"""Checkpoints: weights alone, loaded without running code from the file."""

import pickle
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError


def save_checkpoint(module: nn.Module, path: str | PathLike[str]) -> None:
    """Write a module's weights as ``{"state_dict": ...}``."""
    weights = {
        name: value.detach().cpu() for name, value in module.state_dict().items()
    }
    torch.save({"state_dict": weights}, path)


def load_encoder(
    encoder: nn.Module, path: str | PathLike[str], name: str = "backbone"
) -> nn.Module:
    """Load weights into an encoder.

    Understood are plain state dicts and ``{"state_dict": ...}`` as Lightning writes
    them, of the encoder or of a module that holds it.

    Args:
        encoder: The encoder, of the checkpoint's architecture.
        path: The checkpoint.
        name: The encoder's name in the module that the checkpoint is of; if there is
            no such name, ``"backbone"`` is tried.

    Returns:
        The encoder, with the weights, in evaluation mode.

    Raises:
        MemorizationError: If the file is no checkpoint of tensors alone, or its keys or
            shapes do not fit the encoder.
    """
    weights = _read_weights(path)
    for prefix in (f"{name}.", "backbone."):
        held = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
        weights = held or weights
        if held:
            break
    expected = encoder.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    reshaped = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if missing or unexpected or reshaped:
        raise MemorizationError(
            f"{path} does not fit {type(encoder).__name__}. "
            f"Missing: {_listed(missing)}. Unexpected: {_listed(unexpected)}. "
            f"Of another shape: {_listed(reshaped)}."
        )
    encoder.load_state_dict(weights)
    return encoder.eval()


def _read_weights(path: str | PathLike[str]) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise MemorizationError(f"There is no checkpoint {path}.")
    try:
        document: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise MemorizationError(
            f"{path} is no checkpoint of tensors alone, and loading anything else could "
            "run code from the file. Save the encoder's state_dict() with torch.save."
        ) from error
    if isinstance(document, dict) and isinstance(document.get("state_dict"), dict):
        document = document["state_dict"]
    if not isinstance(document, dict) or not all(
        isinstance(value, Tensor) for value in document.values()
    ):
        raise MemorizationError(f"{path} holds no state_dict of tensors.")
    return document


def _listed(names: list[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return ", ".join(names) or "none"
