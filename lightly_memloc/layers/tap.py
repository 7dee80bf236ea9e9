"""Taps: hooks that hand on what flows through a model, the moment it does."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn


class Tap(NamedTuple):
    """A module and the side of it that is read."""

    module: str
    side: Literal["input", "output"]


@contextmanager
def tapped(
    model: nn.Module,
    taps: Iterable[Tap],
    receive: Callable[[Tap, int, Any], None],
) -> Iterator[None]:
    """Hand what flows through a model's modules to a function, while in the context.

    The function runs inside the hook, before a later in-place operation can change
    what was captured. Calls of a module are counted within each forward pass of the
    model.

    Args:
        model: The model whose forward passes are watched.
        taps: Where to watch.
        receive: Called with the tap, the number of the module's call in this forward
            pass, from 0, and the module's first input or its output.
    """
    calls: Counter[Tap] = Counter()

    def arrive(tap: Tap, value: Any) -> None:
        # A backward pass runs checkpointed modules again, some of them in part.
        if torch._C._current_graph_task_id() != -1:
            return
        call = calls[tap]
        calls[tap] += 1
        receive(tap, call, value)

    def attach(tap: Tap) -> Any:
        module = model.get_submodule(tap.module)
        if tap.side == "input":
            return module.register_forward_pre_hook(
                lambda _, args, kwargs: arrive(
                    tap, args[0] if args else next(iter(kwargs.values()), None)
                ),
                with_kwargs=True,
            )
        return module.register_forward_hook(lambda _, args, output: arrive(tap, output))

    with ExitStack() as hooks:
        start = model.register_forward_pre_hook(lambda *_: calls.clear())
        hooks.callback(start.remove)
        for tap in dict.fromkeys(taps):
            hooks.callback(attach(tap).remove)
        yield


def first_tensor(value: Any) -> Tensor | None:
    """A module's input or output, or the first of several, if it is a tensor."""
    if isinstance(value, tuple | list) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None
