"""UnitMem from the forward passes that training does anyway."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.evaluators.rectification import Rectification
from lightly_memloc.evaluators.unit_tables import unit_mem_tables
from lightly_memloc.functional import unit_activation
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.layers import CapturedLayer, captured, trace_layers
from lightly_memloc.metrics import UnitMem
from lightly_memloc.results import UnitMemResult
from lightly_memloc.runtime import gathered, leave_no_trace, state_device


class OnlineUnitMem:
    """Accumulate UnitMem over an epoch from the forward passes of training [0].

    It watches an encoder while it is trained and needs no forward pass of its own, but
    for one of two views at the beginning, which tells the layers. Training goes on as
    if it were not there, bit for bit.

    It approximates :func:`lightly_memloc.measure_unit_mem` in three ways. An image's
    activation is the mean over the views of one training step, often two, where
    measuring takes ten, and masked ones where training masks tokens. The weights move
    within the epoch, so that images are seen by slightly different encoders. And the
    encoder is in training mode: BatchNorm normalises with the batch's statistics, and
    dropout is at work. Units rank much as they do when measured, once BatchNorm's running
    statistics have settled; values are higher, and the image that a unit names is often
    another one.

    The rows of a forward pass are the batch's images, once or several times over, one
    view of all images after the other (``torch.cat(views)``). Views may also pass one
    by one, and in several sizes.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified, as in ``measure_unit_mem``.

    Raises:
        MemorizationError: If ``rectify`` is unknown.

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
        self._metric: UnitMem | None = None
        self._names: dict[int, tuple[int, str]] = {}

    @contextmanager
    def batch(
        self, filenames: Sequence[str], indices: Sequence[int] | None = None
    ) -> Iterator[None]:
        """Watch a training step on a batch of images.

        Args:
            filenames: File names of the batch's images.
            indices: Their indices in the data set, if known. An image is known by its
                index, or else by its file name; the result then has index -1.

        Raises:
            MemorizationError: If the rows of a forward pass are no multiple of the
                images, or a layer did not run.
            NonFiniteError: If activations are not finite.
        """
        taken = _Batch(self, len(filenames))
        negative = set(self.rectification.negative)
        try:
            with taken.watched():
                yield
            mu = taken.activations()
            self._refuse_non_finite(mu, filenames)
        except BaseException:
            self.rectification.negative = negative
            raise
        if indices is None:
            keys = [_key(name) for name in filenames]
            indices = [-1] * len(filenames)
        else:
            keys = list(indices)
        if self._metric is None:
            self._metric = UnitMem(mu.shape[1]).to(state_device(mu.device))
        self._metric.update(mu, torch.tensor(keys))
        self._names |= dict(
            zip(keys, zip(indices, filenames, strict=True), strict=True)
        )

    def compute(self) -> UnitMemResult:
        """Return UnitMem over the images seen since the last reset, on all processes.

        Raises:
            MemorizationError: If fewer than two images were seen.
        """
        n_images = len(set().union(*gathered(set(self._names))))
        if self._metric is None or n_images < 2:
            raise MemorizationError(
                f"UnitMem needs at least two images; {n_images} passed in training "
                "steps that were watched."
            )
        values = self._metric.compute()
        names = self._names_of(values.winner)
        tables = unit_mem_tables(
            self.layers,
            values,
            [names[key] for key in values.winner.tolist()],
            self.rectification.rectified(self.layers),
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
        """Forget the images seen, for another epoch."""
        self._metric = None
        self._names = {}
        self.rectification.negative.clear()

    def trace(self, images: Tensor) -> None:
        """Settle the layers with a forward pass of two images that leaves no trace."""
        two = torch.cat([images, images])[:2].detach()
        with (
            leave_no_trace([self.model], images.device),
            # Weights cast without gradients would be kept for the training step.
            torch.autocast(images.device.type, enabled=False),
            torch.no_grad(),
        ):
            self.layers = trace_layers(self.model, self._patterns, "units", two)

    def leave_out(self, names: set[str]) -> None:
        """Leave out layers that training does not run, unless they were asked for.

        Raises:
            MemorizationError: If they were, or no layer is left.
        """
        left = [layer for layer in self.layers if layer.name not in names]
        listed = ", ".join(sorted(names))
        if not left or self._patterns != "auto" or self._metric is not None:
            raise MemorizationError(
                f"Layers that did not run in the training step: {listed}. Is the "
                "encoder the one that is trained?"
            )
        self.layers = left
        warnings.warn(
            f"Left out of the measurement, as training does not run them: {listed}.",
            MemorizationWarning,
            stacklevel=2,
        )

    def _refuse_non_finite(self, mu: Tensor, filenames: Sequence[str]) -> None:
        if not torch.isfinite(mu).all():
            image, unit = (~torch.isfinite(mu)).nonzero()[0].tolist()
            ends = np.cumsum([layer.num_units for layer in self.layers])
            layer = self.layers[int(np.searchsorted(ends, unit, side="right"))]
            raise NonFiniteError(
                f"Layer {layer.name}: {filenames[image]} gave NaN or infinite values."
            )

    def _names_of(self, keys: Tensor) -> dict[int, tuple[int, str]]:
        """Index and file name of images, which another process may have seen."""
        own = {key: self._names[key] for key in keys.tolist() if key in self._names}
        return {key: name for names in gathered(own) for key, name in names.items()}


class _Batch:
    """The activations of one training step."""

    def __init__(self, tracker: OnlineUnitMem, n_images: int) -> None:
        self._tracker = tracker
        self._n_images = n_images
        self._total: dict[str, Tensor] = {}
        self._views: dict[str, int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        with ExitStack() as hooks:
            if self._tracker.layers:
                hooks.enter_context(self._captured())
            else:
                self._begin(hooks)
            yield

    def activations(self) -> Tensor:
        """Activations of shape ``(B, U)``, the units of all layers side by side."""
        if not self._tracker.layers:
            raise MemorizationError(
                "The encoder did not run in the training step: is it the one that is "
                "trained?"
            )
        silent = {layer.name for layer in self._tracker.layers} - self._total.keys()
        if silent:
            self._tracker.leave_out(silent)
        return torch.cat(
            [
                self._total[layer.name] / self._views[layer.name]
                for layer in self._tracker.layers
            ],
            dim=1,
        )

    def _captured(self) -> Any:
        return captured(self._tracker.model, self._tracker.layers, self._receive)

    def _begin(self, hooks: ExitStack) -> None:
        """Trace the layers when the first images arrive, then capture."""
        arrivals = ExitStack()
        hooks.enter_context(arrivals)

        def arrive(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs = [*args, *kwargs.values()]
            images = next((x for x in inputs if isinstance(x, Tensor)), None)
            if images is not None:
                arrivals.close()
                self._tracker.trace(images)
                hooks.enter_context(self._captured())

        for module in self._tracker.model.modules():
            handle = module.register_forward_pre_hook(arrive, with_kwargs=True)
            arrivals.callback(handle.remove)

    @torch.no_grad()
    def _receive(self, layer: CapturedLayer, output: Tensor) -> None:
        if len(output) % self._n_images:
            raise MemorizationError(
                f"Layer {layer.name} gave {len(output)} rows for a batch of "
                f"{self._n_images} images; expected each image once or several times."
            )
        output = output.detach()
        rectify = self._tracker.rectification.of(layer, output)
        by_row = unit_activation(output, layer.channel_dim, rectify)
        by_view = by_row.reshape(-1, self._n_images, by_row.shape[1])
        total = by_view.sum(dim=0)
        if layer.name in self._total:
            total += self._total[layer.name]
        self._total[layer.name] = total
        self._views[layer.name] = self._views.get(layer.name, 0) + len(by_view)


def _key(filename: str) -> int:
    """A number for a file name, the same on all processes."""
    digest = hashlib.blake2b(filename.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
