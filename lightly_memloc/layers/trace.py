"""Recording a forward pass: when each module ran, with its input and output."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers.layer import (
    Site,
    channel_dim,
    is_activation,
    is_leaf,
    is_norm,
    joins_stage,
)
from lightly_memloc.runtime import reason

Entry = Literal["forward", "forward_features"]


def run_encoder(model: nn.Module, images: Tensor, entry: Entry) -> None:
    """Run a model on images, in the precision of its weights.

    Args:
        model: The model.
        images: The images, shape ``(N, C, H, W)``.
        entry: The method to call, as found by a :class:`Trace` of the model.
    """
    given = _of_type(model, images)
    if entry == "forward":
        model(given)
    else:
        model.forward_features(given)  # type: ignore[operator]


def _gives_tokens(module: nn.Module, site: Site, output: Tensor) -> bool:
    """Whether a block with convolutions of feature maps gives tokens, (B, N, C)."""
    if site.channel_dim != 1 or output.dim() != 3:
        return False
    modules = list(module.modules())
    return len(modules) > 1 and not any(
        isinstance(of, nn.Conv1d | nn.BatchNorm1d) for of in modules
    )


def features_of(model: nn.Module, images: Tensor) -> Tensor:
    """Run a model on images and flatten what it returns.

    Args:
        model: The model.
        images: The images, shape ``(N, C, H, W)``.

    Returns:
        The features, shape ``(N, F)``.

    Raises:
        MemorizationError: If the model returns no tensor with a row for each image.
    """
    output: Any = model(_of_type(model, images))
    if isinstance(output, Tensor) and output.dim() > 0 and len(output) == len(images):
        return output.flatten(start_dim=1)
    found = (
        f"a tensor of shape {tuple(output.shape)}"
        if isinstance(output, Tensor)
        else f"a {type(output).__name__}"
    )
    raise MemorizationError(
        f"{type(model).__name__} returns {found} for {len(images)} images. Expected a "
        "tensor of features with one row for each: wrap the model in a module that "
        "returns one."
    )


def _of_type(model: nn.Module, images: Tensor) -> Tensor:
    """Images in the precision of a model's weights, which may be half or double."""
    weights = (of.dtype for of in model.parameters() if of.is_floating_point())
    dtype = next(weights, images.dtype)
    return images.to(dtype) if images.is_floating_point() else images


class Tap(NamedTuple):
    """A module, and whether its input or output is read."""

    module: str
    side: Literal["input", "output"]


@contextmanager
def tapped(
    model: nn.Module,
    taps: Iterable[Tap],
    receive: Callable[[Tap, int, Any], None],
) -> Iterator[None]:
    """Pass the inputs or outputs of a model's modules to a function, as a context.

    The function runs inside the hook, before a later in-place operation can change
    the tensor. Calls of a module are counted within each forward pass of the model.

    Args:
        model: The model whose forward passes are recorded.
        taps: The modules and sides to read.
        receive: Called with the tap, the number of the module's call in this forward
            pass, starting at 0, and the module's first input or its output.
    """
    calls: Counter[Tap] = Counter()

    def arrive(tap: Tap, value: Any) -> None:
        # A backward pass runs checkpointed modules again, some of them partially.
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
    """Return an input or output, or the first of several; None if it is no tensor."""
    if isinstance(value, tuple | list) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


@dataclass
class _Call:
    """A call of a module: its number, start and end, input and output."""

    module: str
    number: int
    start: int
    taken: Any
    end: int = -1
    given: Any = None


@dataclass(frozen=True)
class TracedSite:
    """The position of a site in a forward pass.

    Attributes:
        site: The site with its call, moved along its stage.
        origin: Module and call at which the stage starts.
        order: Position in the forward pass.
        shape: Shape of the tensor there; None if it is not a tensor.
        passed: Later modules and calls of the stage, in order.
    """

    site: Site
    origin: tuple[str, int]
    order: int
    shape: tuple[int, ...] | None
    passed: tuple[tuple[str, int], ...]


class Trace:
    """Run a model once on images and record the input and output of each module.

    If ``forward`` fails on images alone, as it does for lightly's
    ``MaskedCausalVisionTransformer``, the model runs through ``forward_features``.

    Args:
        model: The model.
        images: The images.

    Raises:
        MemorizationError: If neither runs because ``forward`` raises a TypeError, as it
            does if it needs more arguments.
        Exception: Any other error of ``forward``, if neither runs.

    Attributes:
        entry: The method that the model runs through.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._modules = dict(model.named_modules())
        self.entry: Entry = "forward"
        try:
            self._run(model, images)
        except Exception as error:
            ran, of_features = self._run_features(model, images)
            if ran:
                return
            if not isinstance(error, TypeError):
                raise
            raise MemorizationError(
                f"{type(model).__name__} does not run on images of shape "
                f"{tuple(images.shape)}: forward raised {reason(error)}{of_features} The "
                "encoder must take a batch of images as its only argument."
            ) from error

    def locate(self, site: Site) -> list[TracedSite]:
        """Return the calls that a site refers to, each moved along its stage."""
        return [
            self._located(site, call)
            for call in self._calls
            if call.module == site.module and site.call in (None, call.number)
        ]

    def starts(self) -> dict[str, int]:
        """Return the position in the forward pass at which each module started."""
        return {call.module: call.start for call in reversed(self._calls)}

    def calls(self, module: str) -> int:
        """Return the number of calls of a module."""
        return sum(call.module == module for call in self._calls)

    def _run(self, model: nn.Module, images: Tensor) -> None:
        self._calls: list[_Call] = []
        self._moments = 0
        names = [name for name in self._modules if name]
        taps = [Tap(name, side) for name in names for side in ("input", "output")]
        with tapped(model, taps, self._record):
            run_encoder(model, images, self.entry)

    def _run_features(self, model: nn.Module, images: Tensor) -> tuple[bool, str]:
        """Return whether ``forward_features`` exists and runs, and how it failed."""
        if not callable(getattr(model, "forward_features", None)):
            return False, ""
        self.entry = "forward_features"
        try:
            self._run(model, images)
        except Exception as error:
            return False, f" forward_features raised {reason(error)}"
        return True, ""

    def _record(self, tap: Tap, number: int, value: Any) -> None:
        self._moments += 1
        tensor = first_tensor(value)
        if tap.side == "input":
            self._calls.append(_Call(tap.module, number, self._moments, tensor))
            return
        call = next(
            call
            for call in reversed(self._calls)
            if call.module == tap.module and call.end < 0
        )
        call.end, call.given = self._moments, tensor

    def _located(self, site: Site, call: _Call) -> TracedSite:
        stage = self._stage(call) if site.stage else [call]
        last = stage[-1]
        if site.stage == "activation":
            modules = [self._modules[step.module] for step in stage]
            read = [i for i, module in enumerate(modules) if is_activation(module)]
            read = read or [i for i, module in enumerate(modules) if is_norm(module)]
            last = stage[read[-1] if read else 0]
            site = replace(
                site,
                channel_dim=channel_dim(self._modules[last.module]) or site.channel_dim,
            )
        taken = site.side == "input"
        value = last.taken if taken else last.given
        if value is not None and _gives_tokens(self._modules[last.module], site, value):
            site = replace(site, channel_dim=-1)
        return TracedSite(
            replace(site, module=last.module, call=last.number, stage=None),
            (call.module, call.number),
            last.start if taken else last.end,
            None if value is None else tuple(value.shape),
            tuple((step.module, step.number) for step in stage[1:]),
        )

    def _stage(self, first: _Call) -> list[_Call]:
        """A call and the later calls of its stage, each taking the previous output.

        A module takes an output if it receives the same tensor object. A module inside a
        container in which the stage did not start belongs to a branch.
        """
        stage = [first]
        while True:
            last = stage[-1]
            follower = next(
                (
                    call
                    for call in self._calls
                    if call.start > last.end
                    and call.taken is last.given
                    and is_leaf(self._modules[call.module])
                ),
                None,
            )
            if (
                follower is None
                or last.given is None
                or not joins_stage(self._modules[follower.module])
                or not _parent(last.module).startswith(_parent(follower.module))
            ):
                return stage
            stage.append(follower)


def _parent(name: str) -> str:
    parent, _, _ = name.rpartition(".")
    return f"{parent}." if parent else ""
