"""Fingerprints of tensors."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def digest(tensors: Iterable[Tensor]) -> str:
    """Compute the SHA-256 digest of the types, shapes and values of tensors.

    Args:
        tensors: The tensors, such as the values of a ``state_dict``.

    Returns:
        64 hexadecimal digits.
    """
    of_all = hashlib.sha256()
    for tensor in tensors:
        of_all.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        of_all.update(raw.numpy().tobytes())
    return of_all.hexdigest()
