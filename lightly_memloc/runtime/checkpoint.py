"""Loading weights from a checkpoint without running code from the file."""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _EXTRA_STATE_KEY_SUFFIX

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.runtime.bounds import refuse_outside
from lightly_memloc.runtime.distributed import reason

# Keys under which training scripts store the weights beside optimizers and the like.
_WEIGHTS = ("state_dict", "model_state_dict", "model")

# Share of an encoder's tensors that a checkpoint in part has to have.
_LEAST = 0.9

# Prefixes that DataParallel and torch.compile add to the names of weights.
WRAPPERS = re.compile(r"(^|\.)(module|_orig_mod)\.")


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder with weights of a checkpoint.

    Attributes:
        encoder: The encoder, in evaluation mode.
        share: Share of its tensors that the checkpoint has.
        missing: Names of those that it lacks, which keep their values.
    """

    encoder: nn.Module
    share: float
    missing: list[str]


def load_encoder(
    encoder: nn.Module,
    path: str | PathLike[str],
    name: str = "backbone",
    *,
    prefix: str | None = None,
    allow_partial: bool | float = False,
    trust_checkpoint: bool = False,
) -> nn.Module:
    """Load weights into an encoder.

    Supports plain state dicts, Lightning checkpoints, and other checkpoints with the
    weights under ``state_dict``, ``model_state_dict`` or ``model``. The weights may be
    those of the encoder or of a module that contains it, and may have the prefixes of
    DataParallel and ``torch.compile``.

    Args:
        encoder: An encoder of the checkpoint's architecture.
        path: The checkpoint.
        name: The encoder's name in the module that was saved. If the name is not found,
            ``"backbone"`` is tried, then any prefix under which all weights match.
        prefix: Prefix of the encoder's weights in the checkpoint, used instead of
            ``name``.
        allow_partial: Whether to warn about missing and unexpected weights instead of
            raising an error, if at least 90% of the encoder's tensors are there; or
            the share that has to be. Missing weights keep their values.
        trust_checkpoint: Whether to load files that contain more than tensors. Loading
            them can run code from the file.

    Returns:
        The encoder with the loaded weights, in evaluation mode.

    Raises:
        MemorizationError: If the file is not a checkpoint of tensors only, its names or
            shapes do not match the encoder, or several prefixes match.
    """
    return load_weights(
        encoder,
        path,
        name,
        prefix=prefix,
        allow_partial=allow_partial,
        trust_checkpoint=trust_checkpoint,
    ).encoder


def load_weights(
    encoder: nn.Module,
    path: str | PathLike[str],
    name: str = "backbone",
    *,
    prefix: str | None = None,
    allow_partial: bool | float = False,
    trust_checkpoint: bool = False,
) -> LoadedEncoder:
    """Load weights into an encoder, and say which it did not get.

    Args:
        encoder: An encoder of the checkpoint's architecture.
        path: The checkpoint.
        name: As for :func:`load_encoder`.
        prefix: As for :func:`load_encoder`.
        allow_partial: As for :func:`load_encoder`.
        trust_checkpoint: As for :func:`load_encoder`.

    Raises:
        MemorizationError: As for :func:`load_encoder`.
    """
    least = _LEAST if allow_partial is True else float(allow_partial or 1)
    refuse_outside("allow_partial", least, above=0, at_most=1)
    expected = encoder.state_dict()
    weights = _of_encoder(
        _read_weights(path, trust_checkpoint), expected, path, name, prefix
    )
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    shapes, found = shapes_of(expected), shapes_of(weights)
    reshaped = [
        f"{key} {found[key]} instead of {shape}"
        for key, shape in shapes.items()
        if key in found and found[key] != shape
    ]
    share = 1 - len(missing) / max(len(expected), 1)
    if missing or unexpected or reshaped:
        differences = (
            f"{path} does not match {type(encoder).__name__}. "
            f"Missing: {_listed(missing)}. Unexpected: {_listed(unexpected)}. "
            f"Different shape: {_listed(reshaped)}."
        )
        if reshaped or not allow_partial or len(missing) == len(expected):
            raise MemorizationError(differences)
        if share < least:
            raise MemorizationError(
                f"{differences} It has {share:.0%} of the encoder's tensors, and at "
                f"least {least:.0%} are expected: the others would be measured as they "
                "were initialised. To load it even so, set allow_partial "
                f"(--partial-share) to {math.floor(100 * share) / 100:g}."
            )
        warnings.warn(differences, MemorizationWarning, stacklevel=3)
    encoder.load_state_dict(weights, strict=not allow_partial)
    return LoadedEncoder(encoder.eval(), share, missing)


def shapes_of(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of each entry of a ``state_dict``, by its name.

    Args:
        weights: The ``state_dict``. What ``get_extra_state`` returned need not be a
            tensor: its type counts.
    """
    return {
        name: tuple(of.shape) if isinstance(of, Tensor) else type(of).__name__
        for name, of in weights.items()
    }


def _of_encoder(
    weights: dict[str, Tensor],
    expected: dict[str, Tensor],
    path: str | PathLike[str],
    name: str,
    prefix: str | None,
) -> dict[str, Tensor]:
    """The encoder's weights, under their names in the encoder."""
    if not expected.keys() & weights.keys():
        weights = {WRAPPERS.sub(r"\1", key): weights[key] for key in weights}
    if prefix is None:
        prefix = _prefix(weights, expected, path, name)
    of_encoder = {
        key.removeprefix(prefix): value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
    if not of_encoder:
        raise MemorizationError(
            f"No weight in {path} starts with {prefix!r}; it contains "
            f"{_listed(list(weights))}."
        )
    return of_encoder


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
            f"{path} contains several encoders of this architecture, under "
            f"{', '.join(fitting)}: choose one with prefix (--prefix)."
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
    # Files of other formats raise errors of any type.
    except Exception as error:
        if trust_checkpoint:
            raise MemorizationError(
                f"{path} cannot be read ({reason(error)}). It may be incomplete, or need a "
                "package that is not installed."
            ) from error
        raise MemorizationError(
            f"{path} is not a checkpoint of tensors only, and loading anything else could "
            "run code from the file. Save the encoder's state_dict() with torch.save. If "
            "you trust the source of the file, set trust_checkpoint "
            "(--trust-checkpoint)."
        ) from error
    if isinstance(document, nn.Module):
        return document.state_dict()
    for name in _WEIGHTS:
        if isinstance(document, dict) and isinstance(document.get(name), dict):
            document = document[name]
            break
    weights = _flat(document) if isinstance(document, dict) else {}
    if not weights:
        found = (
            _listed([str(key) for key in document])
            if isinstance(document, dict)
            else f"a {type(document).__name__}"
        )
        raise MemorizationError(
            f"{path} does not contain a state_dict of tensors. It contains {found}."
        )
    return weights


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a document, in which encoders may be mappings of their own."""
    flat: dict[str, Any] = {}
    for name, value in document.items():
        key = f"{prefix}{name}"
        if isinstance(value, Tensor) or key.endswith(_EXTRA_STATE_KEY_SUFFIX):
            flat[key] = value
        elif isinstance(value, Mapping):
            flat |= _flat(value, f"{key}.")
    return flat


def _listed(names: list[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return ", ".join(names) or "none"
