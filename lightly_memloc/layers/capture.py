"""Capture: the layers that a model runs, and their outputs while it runs."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.layers.find import find_layers
from lightly_memloc.layers.layer import Layer, Site
from lightly_memloc.layers.trace import (
    Entry,
    Tap,
    Trace,
    TracedSite,
    first_tensor,
    tapped,
)


@dataclass(frozen=True)
class CapturedLayer:
    """A layer as it runs in a forward pass.

    Attributes:
        name: The layer's name; ``#2``, ``#3``, ... are added for the later calls of a
            module that runs several times in a forward pass.
        kind: The layer's kind.
        site: Where it is read: the module that is hooked, and which of its calls.
        shape: Shape of its output for one view, without the batch dimension.
        calls: How often the module that is read runs in a forward pass.
        order: Position in the forward pass.
        stage: Modules of the stage, starting with the one with the weights; only the
            module that is read if there is no stage.
        entry: The method that the model runs through.
    """

    name: str
    kind: str
    site: Site
    shape: tuple[int, ...]
    calls: int
    order: int
    stage: tuple[str, ...]
    entry: Entry

    @property
    def channel_dim(self) -> int:
        """Dimension of the units in the output, counted with the batch dimension."""
        if self.site.channel_dim is not None:
            return self.site.channel_dim
        return 2 if len(self.shape) == 2 else 1

    @property
    def num_units(self) -> int:
        """Number of units."""
        dim = self.channel_dim
        return self.shape[dim - 1 if dim > 0 else dim]


_READ = {"state": "states", "units": "units"}


def trace_layers(
    model: nn.Module,
    layers: str | Sequence[str],
    read: Literal["state", "units"],
    images: Tensor,
) -> list[CapturedLayer]:
    """Run a model once to find which layers it runs, how often, in which order.

    Args:
        model: The model, in evaluation mode.
        layers: Names, globs or kinds, as :func:`find_layers` understands them.
        read: Whether to read the states after the layers or their units. A layer chosen
            by name that has only one of them is read there.
        images: At least two images, as the model takes them.

    Returns:
        The layers in forward order. With ``"auto"``, layers that do not run or whose
        output is not a tensor with the images in its first dimension are left out with
        a warning.

    Raises:
        MemorizationError: If a requested layer does not run or its output is not such
            a tensor, or no layer is left.
    """
    found = find_layers(model, layers)
    automatic = layers == "auto" or list(layers) == ["auto"]
    if automatic:
        found = [layer for layer in found if getattr(layer, read)]
    trace = Trace(model, images)
    located: list[tuple[Layer, list[TracedSite]]] = [
        (layer, trace.locate(_site(layer, read))) for layer in found
    ]
    if automatic:
        followers = {step for _, sites in located for s in sites for step in s.passed}
        located = [
            (layer, sites)
            for layer, sites in located
            if layer.kind not in ("pool", "norm")
            or not {s.origin for s in sites} & followers
        ]
    captured: list[CapturedLayer] = []
    faults = []
    for layer, sites in located:
        fault = _fault(layer, sites, len(images))
        if fault:
            faults.append(fault)
            continue
        for number, place in enumerate(sites, start=1):
            name = layer.name if number == 1 else f"{layer.name}#{number}"
            shape = (place.shape or ())[1:]
            captured.append(
                CapturedLayer(
                    name,
                    layer.kind,
                    place.site,
                    shape,
                    trace.calls(place.site.module),
                    place.order,
                    (place.origin[0], *(m for m, _ in place.passed)),
                    trace.entry,
                )
            )
    if faults and (not automatic or not captured):
        raise MemorizationError(" ".join(faults))
    if not captured:
        raise MemorizationError(
            f"{type(model).__name__} has no layers whose {_READ[read]} can be measured. "
            "Name modules to measure with layers=..."
        )
    if faults:
        warnings.warn(
            "Left out of the measurement: " + " ".join(faults),
            MemorizationWarning,
            stacklevel=2,
        )
    return sorted(captured, key=lambda layer: layer.order)


@contextmanager
def captured(
    model: nn.Module,
    layers: Sequence[CapturedLayer],
    receive: Callable[[CapturedLayer, Tensor], None],
) -> Iterator[None]:
    """Pass each layer's output to a function as soon as it exists, while in the context.

    A forward pass may also start inside the model, at a method other than ``forward``:
    a module's calls are counted modulo its calls in one forward pass.

    Args:
        model: The model that runs.
        layers: Its layers, from :func:`trace_layers`.
        receive: Called in each forward pass with each layer and its output. If it
            raises NonFiniteError, the message gets the layer's name.
    """
    by_tap: dict[Tap, list[CapturedLayer]] = {}
    for layer in layers:
        by_tap.setdefault(_tap(layer.site), []).append(layer)

    def dispatch(tap: Tap, call: int, value: Any) -> None:
        for layer in by_tap[tap]:
            if call % layer.calls != layer.site.call:
                continue
            tensor = first_tensor(value)
            if tensor is None:
                raise MemorizationError(f"Layer {layer.name} gave no tensor.")
            try:
                receive(layer, tensor)
            except NonFiniteError as error:
                raise NonFiniteError(f"Layer {layer.name}: {error}") from error

    with tapped(model, by_tap, dispatch):
        yield


def _site(layer: Layer, read: Literal["state", "units"]) -> Site:
    site = getattr(layer, read) or layer.state or layer.units
    assert isinstance(site, Site)
    return site


def _tap(site: Site) -> Tap:
    return Tap(site.module, site.side)


def _fault(layer: Layer, sites: list[TracedSite], n_images: int) -> str | None:
    if not sites:
        return f"Layer {layer.name} never ran in the forward pass."
    for site in sites:
        if site.shape is None:
            return (
                f"Layer {layer.name} gave no tensor, nor a tuple that starts with one."
            )
        if len(site.shape) < 2 or site.shape[0] != n_images:
            return (
                f"Layer {layer.name} gave shape {site.shape} for {n_images} images; "
                "the first dimension must be the images."
            )
    return None
