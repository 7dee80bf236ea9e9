"""JSON as the standard has it, in which NaN and infinity do not exist."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_json(document: Any, indent: int | None = None) -> str:
    """Write a document as JSON; numbers that are not finite become null.

    Args:
        document: Plain values, numpy numbers and arrays, in mappings and sequences.
        indent: Spaces per level; everything is on one line by default.

    Raises:
        TypeError: If a value cannot be written as JSON.

    Examples:
        >>> from lightly_memloc.runtime import to_json
        >>> to_json({"loss": float("nan"), "epochs": 3})
        '{"loss": null, "epochs": 3}'
    """
    return json.dumps(plain(document), indent=indent, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a value in the types that JSON has; what is not finite becomes None.

    Args:
        value: A value, as for :func:`to_json`.

    Raises:
        TypeError: If a value cannot be written as JSON.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [plain(of) for of in value]
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} cannot be saved as JSON.")


def not_finite(value: Any, place: str = "") -> list[str]:
    """List where a value contains numbers that are NaN or infinite.

    Args:
        value: A value, as for :func:`to_json`.
        place: Where it is.

    Returns:
        Places such as ``settings.losses``, each once.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return [] if math.isfinite(value) else [place]
    if isinstance(value, Mapping):
        named = value.items()
        found = [of for key, v in named for of in not_finite(v, f"{place}.{key}")]
    elif isinstance(value, list | tuple):
        found = [of for v in value for of in not_finite(v, place)]
    else:
        return []
    return list(dict.fromkeys(of.lstrip(".") for of in found))
