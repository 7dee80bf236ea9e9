"""One forward pass, written down: which module ran when, on and with which tensor."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from lightly_memloc.layers.layer import Site
from lightly_memloc.layers.module_types import (
    channel_dim,
    is_activation,
    is_leaf,
    is_norm,
    joins_stage,
)
from lightly_memloc.layers.tap import Tap, first_tensor, tapped


@dataclass
class _Call:
    """A module's call: its number, and when what went in and came out."""

    module: str
    number: int
    start: int
    taken: Any
    end: int = -1
    given: Any = None


@dataclass(frozen=True)
class SettledSite:
    """Where a site turned out to be in the run.

    Attributes:
        site: The site, with its call, moved along its stage.
        origin: Module and call that it started from.
        order: Position in the run.
        shape: Shape of the tensor there; None if it is no tensor.
        passed: Modules and calls of the stage that it started, one after the other.
    """

    site: Site
    origin: tuple[str, int]
    order: int
    shape: tuple[int, ...] | None
    passed: tuple[tuple[str, int], ...]


class TracedRun:
    """Run a model once on images and keep what each module took and gave.

    Args:
        model: The model.
        images: The images.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._modules = dict(model.named_modules())
        self._calls: list[_Call] = []
        self._moments = 0
        names = [name for name in self._modules if name]
        taps = [Tap(name, side) for name in names for side in ("input", "output")]
        with tapped(model, taps, self._write_down):
            model(images)

    def settle(self, site: Site) -> list[SettledSite]:
        """Find the calls that a site means, and move each along its stage."""
        return [
            self._settled(site, call)
            for call in self._calls
            if call.module == site.module and site.call in (None, call.number)
        ]

    def beginnings(self) -> dict[str, int]:
        """Position in the run at which each module that ran began."""
        return {call.module: call.start for call in reversed(self._calls)}

    def calls(self, module: str) -> int:
        """How often a module ran."""
        return sum(call.module == module for call in self._calls)

    def _write_down(self, tap: Tap, number: int, value: Any) -> None:
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

    def _settled(self, site: Site, call: _Call) -> SettledSite:
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
        return SettledSite(
            replace(site, module=last.module, call=last.number, stage=None),
            (call.module, call.number),
            last.start if taken else last.end,
            None if value is None else tuple(value.shape),
            tuple((step.module, step.number) for step in stage[1:]),
        )

    def _stage(self, first: _Call) -> list[_Call]:
        """A call and those that take its output, one after the other, in its stage.

        A module takes the output if it is given that very tensor. One inside a
        container that the stage has not come from is a branch of its own.
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
