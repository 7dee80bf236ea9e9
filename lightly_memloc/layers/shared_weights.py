"""Weights that several modules share: tied, or views of one tensor."""

from collections import defaultdict
from collections.abc import Iterable

from torch import Tensor, nn


def shared_weights(model: nn.Module) -> dict[str, set[str]]:
    """Find the parameters and buffers that use the same memory.

    Args:
        model: The model.

    Returns:
        For each name in the model's ``state_dict`` whose memory has others, those. A
        module that is registered twice has two names.
    """
    entries = model.state_dict(keep_vars=True)
    tensors = {name: of for name, of in entries.items() if isinstance(of, Tensor)}
    group_of = {name: group for group in _overlapping(tensors) for name in group}
    return {
        name: group_of[name] - {name}
        for name in tensors
        if len(group_of.get(name, ())) > 1
    }


def module_of(model: nn.Module, entry: str) -> nn.Module:
    """Return the module that a parameter or buffer belongs to.

    Args:
        model: The model.
        entry: Its name in the model's ``state_dict``.
    """
    return model.get_submodule(entry.rpartition(".")[0])


def other_users(model: nn.Module, entries: Iterable[str]) -> set[str]:
    """Find the weights of other modules that use the memory of given ones.

    Args:
        model: The model.
        entries: Names in the model's ``state_dict``.

    Returns:
        Names in the ``state_dict``, without those of the same modules.
    """
    shared, given = shared_weights(model), set(entries)
    users = {module_of(model, entry) for entry in given}
    others = {other for entry in given for other in shared.get(entry, ())}
    return {of for of in others - given if module_of(model, of) not in users}


def _overlapping(tensors: dict[str, Tensor]) -> list[set[str]]:
    """Groups of names whose tensors overlap in memory."""
    spans: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for name, tensor in tensors.items():
        if tensor.numel() and not tensor.is_meta:
            start = int(tensor.storage_offset())
            steps = zip(tensor.shape, tensor.stride(), strict=True)
            end = start + sum((size - 1) * int(stride) for size, stride in steps)
            size = tensor.element_size()
            storage = tensor.untyped_storage().data_ptr()
            spans[storage].append((start * size, (end + 1) * size, name))
    groups: list[set[str]] = []
    for of_storage in spans.values():
        reached = -1
        for start, end, name in sorted(of_storage):
            if start >= reached:
                groups.append(set())
            groups[-1].add(name)
            reached = max(reached, end)
    return groups
