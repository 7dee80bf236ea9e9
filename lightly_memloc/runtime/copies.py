"""Copies of encoders, whatever they keep beside their weights."""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightly_memloc.errors import MemorizationError

M = TypeVar("M", bound=nn.Module)


def copy_encoder(encoder: M) -> M:
    """Copy an encoder, with what it keeps of its last forward pass detached.

    PyTorch refuses to copy tensors that are part of a graph, such as a feature map that
    a module keeps, or a weight that weight normalisation or pruning computes.

    Args:
        encoder: The encoder, which is not changed.

    Returns:
        The copy.

    Raises:
        MemorizationError: If the encoder keeps something that cannot be copied. The
            message names it.
    """
    memo: dict[int, Any] = {
        id(tensor): tensor.detach().clone()
        for module in encoder.modules()
        for tensor in _computed(vars(module))
    }
    try:
        copied = copy.deepcopy(encoder, memo)
    # Objects refuse to be copied with errors of any type.
    except Exception as error:
        place = _uncopied(encoder)
        if place is None:
            raise
        raise MemorizationError(
            f"{type(encoder).__name__} cannot be copied, since {place} cannot ({error}). "
            "Remove it before, or let its class define __deepcopy__."
        ) from error
    _share_memory(encoder, copied)
    return copied


def _share_memory(encoder: nn.Module, copied: nn.Module) -> None:
    """Make weights that are parts of one tensor so in the copy, too."""
    by_storage: dict[int, dict[int, str]] = defaultdict(dict)
    entries = {**dict(encoder.named_parameters()), **dict(encoder.named_buffers())}
    for name, tensor in entries.items():
        if not (is_lazy(tensor) or tensor.is_meta) and tensor.layout == torch.strided:
            by_storage[tensor.untyped_storage().data_ptr()][id(tensor)] = name
    copies = {**dict(copied.named_parameters()), **dict(copied.named_buffers())}
    for names in by_storage.values():
        if len(names) > 1:
            first = entries[next(iter(names.values()))]
            storage = copy.deepcopy(first.untyped_storage())
            for name in names.values():
                own = entries[name]
                place = (own.storage_offset(), own.shape, own.stride())
                copies[name].data = own.new_empty(0).set_(storage, *place)


def _computed(kept: Any) -> Iterator[Tensor]:
    """Tensors that are part of a graph, in what a module keeps."""
    if isinstance(kept, Tensor):
        if not kept.is_leaf:
            yield kept
    elif isinstance(kept, Mapping):
        for value in kept.values():
            yield from _computed(value)
    elif isinstance(kept, list | tuple):
        for value in kept:
            yield from _computed(value)


def _uncopied(encoder: nn.Module) -> str | None:
    """The first thing that an encoder keeps and that cannot be copied."""
    for name, module in encoder.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            try:
                copy.deepcopy(value, {id(of): of for of in _computed(value)})
            except Exception:
                return f"{name}.{attribute}".lstrip(".")
    return None
