"""UnitMem from the forward passes of training, without additional ones."""

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.estimation import unit_mem_tables
from lightly_memloc.evaluators.unit_evaluator import Rectification
from lightly_memloc.functional import unit_activation
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.layers import CapturedLayer, captured, trace_layers
from lightly_memloc.metrics import UnitMem
from lightly_memloc.results import UnitMemResult
from lightly_memloc.runtime import gathered, leave_no_trace, state_device

# Whether a tracker is tracing an encoder. No tracker counts such a forward pass.
_TRACES: ContextVar[bool] = ContextVar("traces", default=False)


class OnlineUnitMem:
    """Accumulate UnitMem over an epoch from the forward passes of training [0].

    The tracker reads the activations of an encoder during training. It runs a single
    forward pass itself, of two views at the start, to find the layers. Training is
    bit-identical to training without the tracker.

    The values approximate those of :func:`lightly_memloc.measure_unit_mem`:

    - An image's activation is the mean over the views of one training step, often two
      instead of ten. If training masks tokens, the views are masked.
    - The weights change within the epoch, so that images pass through slightly
      different encoders.
    - The encoder is in training mode: BatchNorm uses the statistics of the batch, and
      dropout is active.

    Once BatchNorm's running statistics have converged, the ranking of units is similar
    to that of a measurement. Values are higher, and the image that activates a unit
    most is often a different one.

    The rows of a forward pass must contain all images of the batch once or several
    times, one view of all images after another (``torch.cat(views)``). Views may also
    pass one at a time and in several sizes.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified, as in ``measure_unit_mem``.

    Raises:
        MemorizationError: If ``rectify`` is unknown. In the first training step: if a
            layer is not found, or the encoder does not run on images alone.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from lightly_memloc import OnlineUnitMem
        >>> encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
        >>> tracker = OnlineUnitMem(encoder)
        >>> for names in ["a.png", "b.png"], ["c.png", "d.png"]:
        ...     views = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
        ...     with tracker.batch(names):
        ...         loss = encoder(torch.cat(views)).std()
        >>> len(tracker.compute().to_pandas())
        4
        >>> tracker.reset()
    """

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str] = "auto",
        rectify: Rectify = "auto",
    ) -> None:
        self.model = model
        self.rectification = Rectification(rectify)
        self.layers: list[CapturedLayer] = []
        self._patterns = layers
        self._metrics: dict[str, UnitMem] = {}
        # Images of each layer, until there are two.
        self._seen: dict[str, set[int]] = {}
        self._silent: set[str] = set()
        self._names: dict[int, tuple[int, str]] = {}

    @contextmanager
    def batch(
        self, filenames: Sequence[str], indices: Sequence[int] | None = None
    ) -> Iterator[None]:
        """Record a training step on a batch of images, as a context manager.

        A step in which the encoder does not run is not counted. A layer that runs only
        in some steps is measured on the images of those steps, with a warning.

        Args:
            filenames: File names of the batch's images.
            indices: Their indices in the data set, if known. They identify the images;
                without them, file names do, and the result has index -1.

        Raises:
            MemorizationError: At the end of the step, which is not counted: if the
                number of rows of a forward pass is not a multiple of the number of
                images.
            NonFiniteError: If activations are not finite.
        """
        taken = _Batch(self, len(filenames))
        negative = set(self.rectification.negative)
        try:
            with taken.watched():
                yield
            activations = taken.activations()
            for name, mu in activations.items():
                _refuse_non_finite(name, mu, filenames)
        except BaseException:
            self.rectification.negative = negative
            raise
        if indices is None:
            keys = [_key(name) for name in filenames]
            indices = [-1] * len(filenames)
        else:
            keys = list(indices)
        if not activations:
            return
        self._warn_of_silent(activations)
        for name, mu in activations.items():
            if name not in self._metrics:
                metric = UnitMem(mu.shape[1]).to(state_device(mu.device))
                self._metrics[name] = metric
            self._metrics[name].update(mu, torch.tensor(keys))
            if len(self._seen.setdefault(name, set())) < 2:
                self._seen[name].update(keys)
        self._names |= dict(
            zip(keys, zip(indices, filenames, strict=True), strict=True)
        )

    def compute(self) -> UnitMemResult:
        """Return UnitMem over the images seen by all processes since the last reset.

        Layers that ran on fewer than two images are left out.

        Returns:
            The result. ``to_pandas()`` has one row per unit, with UnitMem from 0 to 1.

        Raises:
            MemorizationError: If no layer ran on two images.
        """
        n_images = len(set().union(*gathered(set(self._names))))
        layers, values = self._values() if n_images > 1 else ([], [])
        if not layers:
            compiled = (
                " The encoder is compiled: what it runs after its first compiled step "
                "cannot be observed. Create the tracker before, or call "
                "torch.compiler.reset()."
                if _is_compiled(self.model)
                else ""
            )
            raise MemorizationError(
                f"UnitMem needs at least two images; the recorded training steps had "
                f"{n_images}. Check that the tracked encoder is the one being trained."
                f"{compiled}"
            )
        side_by_side = {
            # A metric of one unit returns scalars.
            name: torch.cat([of_layer[name].reshape(-1) for of_layer in values])
            for name in values[0]
        }
        names = self._names_of(side_by_side["winner"])
        tables = unit_mem_tables(
            layers,
            {name: of.cpu().numpy() for name, of in side_by_side.items()},
            [names[key] for key in side_by_side["winner"].tolist()],
            self.rectification.rectified(layers),
        )
        settings = {
            "online": True,
            "rest": "mean",
            "rectify": self.rectification.rectify,
            "images": n_images,
            "skipped": [],
        }
        return UnitMemResult(settings, tables)

    def reset(self) -> None:
        """Discard the images seen, to start another epoch."""
        self._metrics = {}
        self._seen = {}
        self._names = {}
        self.rectification.negative.clear()

    def trace(self, images: Tensor) -> None:
        """Find the layers with a forward pass of two images, and restore all state.

        Args:
            images: At least one image, shape ``(N, C, H, W)``.

        Raises:
            MemorizationError: If a layer is not found or does not run, or the encoder
                does not run on images alone.
        """
        two = torch.cat([images, images])[:2].detach()
        with (
            leave_no_trace([self.model], images.device),
            # Autocast would cache weights cast without gradients for the training step.
            torch.autocast(images.device.type, enabled=False),
            torch.no_grad(),
        ):
            token = _TRACES.set(True)
            try:
                self.layers = trace_layers(self.model, self._patterns, "units", two)
            finally:
                _TRACES.reset(token)

    def _values(self) -> tuple[list[CapturedLayer], list[Any]]:
        """Layers that ran on two images, across processes, and their UnitMem."""
        # A process whose encoder never ran has traced no layers.
        traced: list[CapturedLayer] = next(
            (layers for layers in gathered(self.layers) if layers), []
        )
        seen = gathered(self._seen)
        layers = [
            layer
            for layer in traced
            if len(set().union(*(own.get(layer.name, set()) for own in seen))) > 1
        ]
        device = state_device(next(self.model.parameters()).device)
        # All processes merge the same layers, including those that ran elsewhere only.
        metrics = [
            self._metrics.get(layer.name) or UnitMem(layer.num_units).to(device)
            for layer in layers
        ]
        return layers, [metric.compute() for metric in metrics]

    def _warn_of_silent(self, ran: Iterable[str]) -> None:
        silent = {layer.name for layer in self.layers} - set(ran) - self._silent
        if silent:
            self._silent |= silent
            warnings.warn(
                "Layers that did not run in a training step: "
                f"{', '.join(sorted(silent))}. Each is measured only on the images of "
                "steps in which it runs.",
                MemorizationWarning,
                stacklevel=4,
            )

    def _names_of(self, keys: Tensor) -> dict[int, tuple[int, str]]:
        """Index and file name of images, including those seen by other processes."""
        own = {key: self._names[key] for key in keys.tolist() if key in self._names}
        return {key: name for names in gathered(own) for key, name in names.items()}


class _Batch:
    """The activations of one training step."""

    def __init__(self, tracker: OnlineUnitMem, n_images: int) -> None:
        self._tracker = tracker
        self._n_images = n_images
        self._total: dict[str, Tensor] = {}
        self._views: dict[str, int] = {}
        self._fault: str | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        with ExitStack() as hooks:
            if self._tracker.layers:
                hooks.enter_context(self._captured())
            else:
                self._begin(hooks)
            yield

    def activations(self) -> dict[str, Tensor]:
        """Activations of shape ``(B, U)`` of each layer that ran.

        Raises:
            MemorizationError: If the number of rows was not a multiple of the images.
        """
        if self._fault is not None:
            raise MemorizationError(self._fault)
        return {name: total / self._views[name] for name, total in self._total.items()}

    def _captured(self) -> Any:
        return captured(self._tracker.model, self._tracker.layers, self._receive)

    def _begin(self, hooks: ExitStack) -> None:
        """Trace the layers on the first images that arrive, then capture outputs."""
        arrivals = ExitStack()
        hooks.enter_context(arrivals)

        def arrive(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs = [*args, *kwargs.values()]
            images = next((x for x in inputs if isinstance(x, Tensor)), None)
            if images is not None and not _TRACES.get():
                arrivals.close()
                self._tracker.trace(images)
                hooks.enter_context(self._captured())

        for module in self._tracker.model.modules():
            handle = module.register_forward_pre_hook(arrive, with_kwargs=True)
            arrivals.callback(handle.remove)

    @torch.no_grad()
    def _receive(self, layer: CapturedLayer, output: Tensor) -> None:
        if _TRACES.get():
            return
        if len(output) % self._n_images:
            # The step continues; only its measurement fails.
            self._fault = self._fault or (
                f"Layer {layer.name} returned {len(output)} rows for a batch of "
                f"{self._n_images} images; expected a multiple of the number of images."
            )
            return
        output = output.detach()
        rectify = self._tracker.rectification.of(layer, output)
        by_row = unit_activation(output, layer.channel_dim, rectify)
        by_view = by_row.reshape(-1, self._n_images, by_row.shape[1])
        total = by_view.sum(dim=0)
        if layer.name in self._total:
            total += self._total[layer.name]
        self._total[layer.name] = total
        self._views[layer.name] = self._views.get(layer.name, 0) + len(by_view)


def _refuse_non_finite(layer: str, mu: Tensor, filenames: Sequence[str]) -> None:
    finite = torch.isfinite(mu).all(dim=1)
    if not finite.all():
        name = filenames[int((~finite).nonzero()[0])]
        raise NonFiniteError(f"Layer {layer}: NaN or infinite values for {name}.")


def _key(filename: str) -> int:
    """A number for a file name that is the same on all processes."""
    digest = hashlib.blake2b(os.fsencode(filename), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile made a module, or any in it, what it is."""
    return any(
        hasattr(module, "_orig_mod")
        or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )
