"""Fingerprints of weights and tensors: equal content has one fingerprint."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightly_memloc.runtime.checkpoint import WRAPPERS


def weights_fingerprint(encoder: nn.Module) -> str:
    """Compute the SHA-256 of an encoder's ``state_dict``.

    It covers names, types, shapes and values of all parameters and buffers, and the
    values of ``get_extra_state``, whatever their order. The prefixes that
    DataParallel and ``torch.compile`` add to names do not count. Of objects in an extra
    state that are neither tensors, arrays, bytes nor plain values, only the type counts.

    Args:
        encoder: The encoder.

    Returns:
        64 hexadecimal digits.

    Examples:
        >>> from torch import nn
        >>> from lightly_memloc.runtime import weights_fingerprint
        >>> first, second = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> weights_fingerprint(first) == weights_fingerprint(second)
        False
        >>> _ = second.load_state_dict(first.state_dict())
        >>> weights_fingerprint(first) == weights_fingerprint(nn.DataParallel(second))
        True
    """
    weights = encoder.state_dict()
    plain = {WRAPPERS.sub(r"\1", name): weights[name] for name in weights}
    return _sha256(_bytes_of(plain))


def digest(tensors: Iterable[Tensor]) -> str:
    """Compute the SHA-256 digest of the types, shapes and values of tensors.

    Args:
        tensors: The tensors.

    Returns:
        64 hexadecimal digits.
    """
    return _sha256(_bytes_of(list(tensors)))


def _sha256(parts: Iterable[bytes | memoryview]) -> str:
    of_all = hashlib.sha256()
    for part in parts:
        of_all.update(part)
    return of_all.hexdigest()


def _bytes_of(value: Any) -> Iterator[bytes | memoryview]:
    """What identifies a value, with its type and size before its content."""
    kind = type(value).__qualname__
    if isinstance(value, Tensor):
        yield f"tensor {value.dtype} {'lazy' if is_lazy(value) else tuple(value.shape)};".encode()
        if not (is_lazy(value) or value.is_meta):
            yield _raw(value)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"array {value.dtype.str} {value.shape};".encode()
        yield value.tobytes()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)};".encode()
        for key in sorted(value, key=repr):
            yield f"{key!r}:".encode()
            yield from _bytes_of(value[key])
    elif isinstance(value, list | tuple):
        yield f"list {len(value)};".encode()
        for item in value:
            yield from _bytes_of(item)
    elif isinstance(value, BytesIO):
        yield from _bytes_of(value.getvalue())
    elif isinstance(value, bytes | bytearray):
        yield f"bytes {len(value)};".encode()
        yield bytes(value)
    elif isinstance(value, str | int | float | complex | np.generic | None):
        yield f"{kind} {value!r};".encode()
    else:
        yield f"{kind};".encode()


def _raw(tensor: Tensor) -> memoryview:
    whole = tensor.detach().cpu()
    if whole.layout != torch.strided:
        whole = whole.to_dense()
    if whole.is_quantized:
        whole = whole.dequantize()
    flat = whole.contiguous().reshape(-1)
    raw: memoryview = flat.view(torch.uint8).numpy().data
    return raw
