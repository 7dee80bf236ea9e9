"""Loading weights from a checkpoint without running code from the file."""

import re
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError, MemorizationWarning

# Under these, training scripts keep the weights beside optimizers and the like.
_WEIGHTS = ("state_dict", "model_state_dict", "model")

# What DataParallel and torch.compile put before the names of weights.
_WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod)\.")


def load_encoder(
    encoder: nn.Module,
    path: str | PathLike[str],
    name: str = "backbone",
    *,
    prefix: str | None = None,
    allow_partial: bool = False,
    trust_checkpoint: bool = False,
) -> nn.Module:
    """Load weights into an encoder.

    Understood are plain state dicts, Lightning's checkpoints and others that keep the
    weights under ``state_dict``, ``model_state_dict`` or ``model``, of the encoder or
    of a module that holds it, also as DataParallel and ``torch.compile`` name them.

    Args:
        encoder: The encoder, of the checkpoint's architecture.
        path: The checkpoint.
        name: The encoder's name in the module that the checkpoint is of. If there is
            no such name, ``"backbone"`` is tried, and then whatever fits.
        prefix: What the names of the encoder's weights begin with in the checkpoint,
            instead of ``name``.
        allow_partial: Whether missing and unexpected weights are warned of instead of
            refused. Missing ones stay as they are.
        trust_checkpoint: Whether a file of more than tensors is loaded, which runs code
            from it.

    Returns:
        The encoder, with the weights, in evaluation mode.

    Raises:
        MemorizationError: If the file is no checkpoint of tensors alone, or its keys or
            shapes do not fit the encoder, or fit it in several places.
    """
    expected = encoder.state_dict()
    weights = _of_encoder(
        _read_weights(path, trust_checkpoint), expected, path, name, prefix
    )
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    reshaped = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in weights and weights[key].shape != value.shape
    ]
    if missing or unexpected or reshaped:
        differences = (
            f"{path} does not fit {type(encoder).__name__}. "
            f"Missing: {_listed(missing)}. Unexpected: {_listed(unexpected)}. "
            f"Of another shape: {_listed(reshaped)}."
        )
        if reshaped or not allow_partial or len(missing) == len(expected):
            raise MemorizationError(differences)
        warnings.warn(differences, MemorizationWarning, stacklevel=2)
    encoder.load_state_dict(weights, strict=not allow_partial)
    return encoder.eval()


def _of_encoder(
    weights: dict[str, Tensor],
    expected: dict[str, Tensor],
    path: str | PathLike[str],
    name: str,
    prefix: str | None,
) -> dict[str, Tensor]:
    """The encoder's weights, by the names that they have in the encoder."""
    if not expected.keys() & weights.keys():
        weights = {_WRAPPERS.sub(r"\1", key): weights[key] for key in weights}
    if prefix is None:
        prefix = _prefix(weights, expected, path, name)
    held = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
    if not held:
        raise MemorizationError(
            f"{path} has no weights whose names begin with {prefix!r}, but "
            f"{_listed(list(weights))}."
        )
    return held


def _prefix(
    weights: dict[str, Tensor],
    expected: dict[str, Tensor],
    path: str | PathLike[str],
    name: str,
) -> str:
    for prefix in (f"{name}.", "backbone."):
        if any(key.startswith(prefix) for key in weights):
            return prefix
    first = next(iter(expected))
    fitting = [
        key.removesuffix(first)
        for key in weights
        if key.endswith(first)
        and all(key.removesuffix(first) + other in weights for other in expected)
    ]
    if "" in fitting or not fitting:
        return ""
    if len(fitting) > 1:
        raise MemorizationError(
            f"{path} holds several encoders of this architecture, under "
            f"{', '.join(fitting)}: say which with prefix (--prefix)."
        )
    return fitting[0]


def _read_weights(
    path: str | PathLike[str], trust_checkpoint: bool
) -> dict[str, Tensor]:
    if not Path(path).is_file():
        raise MemorizationError(f"There is no checkpoint {path}.")
    try:
        document: Any = torch.load(
            path, map_location="cpu", weights_only=not trust_checkpoint
        )
    # What is no checkpoint can fail in any way.
    except Exception as error:
        raise MemorizationError(
            f"{path} is no checkpoint of tensors alone, and loading anything else could "
            "run code from the file. Save the encoder's state_dict() with torch.save; or, "
            "if you trust where the file comes from, set trust_checkpoint "
            "(--trust-checkpoint)."
        ) from error
    if isinstance(document, nn.Module):
        return document.state_dict()
    for name in _WEIGHTS:
        if isinstance(document, dict) and isinstance(document.get(name), dict):
            document = document[name]
            break
    if not isinstance(document, dict) or not all(
        isinstance(value, Tensor) for value in document.values()
    ):
        raise MemorizationError(f"{path} holds no state_dict of tensors.")
    return document


def _listed(names: list[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return ", ".join(names) or "none"
