"""Measuring LayerMem: how much better f aligns its candidates than g does, by layer."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Self

from lightly_memloc.data import MemorizationSplit, MultiViewDataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import Readings, estimate_layer_mem
from lightly_memloc.evaluators.evaluator import EVALUATORS, Evaluator
from lightly_memloc.evaluators.measure import measure
from lightly_memloc.evaluators.same_architecture import refuse_different_architectures
from lightly_memloc.evaluators.study import Study
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.layers import CapturedLayer
from lightly_memloc.metrics import AlignmentDistance
from lightly_memloc.results import LayerMemResult


@EVALUATORS.register("layer_mem")
class LayerMemEvaluator(Evaluator[LayerMemResult]):
    """Measure SSLMem of each image and LayerMem of each layer [0, 1].

    See :func:`lightly_memloc.measure_layer_mem`, which runs it, for what is measured
    and for the arguments.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: LayerMem, 2024, https://arxiv.org/abs/2409.19069
    """

    title: ClassVar[str] = "Measuring LayerMem"
    read: ClassVar[Literal["state", "units"]] = "state"

    def __init__(
        self,
        f: nn.Module,
        g: nn.Module | None,
        dataset: Any,
        split: MemorizationSplit,
        transform: Callable[[Any], Any],
        layers: str | Sequence[str] = "auto",
        n_views: int = 10,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        *,
        pairs: Literal["all", "anchor"] = "all",
        anchor_transform: Callable[[Any], Any] | None = None,
        normalize: bool = True,
        normalization: Literal["relative", "raw", "range"] = "relative",
        top_k: int = 50,
        n_resamples: int = 2000,
        skip_unreadable: bool = False,
        state_file: str | PathLike[str] | None = None,
    ) -> None:
        roles = _measured_roles(split, dataset, has_reference=g is not None)
        if (pairs == "anchor") != (anchor_transform is not None):
            raise MemorizationError(
                "pairs='anchor' and anchor_transform go together: the transform makes "
                "the image without augmentation that each view is compared with."
            )
        if g is not None:
            refuse_different_architectures(f, g)
        super().__init__(
            {"f": f} if g is None else {"f": f, "g": g},
            MultiViewDataset(dataset, transform, n_views, seed, anchor_transform),
            roles["index"].to_numpy(),
            layers,
            batch_size,
            num_workers,
            skip_unreadable,
            state_file,
        )
        self.roles = roles
        self.pairs = pairs
        self.normalize = normalize
        self.normalization = normalization
        self.top_k = top_k
        self.n_resamples = n_resamples

    @classmethod
    def from_study(cls, study: Study, **options: Any) -> Self:
        """Make the evaluator of a study with a split, or with a holdout."""
        return cls(
            study.model,
            study.reference,
            study.dataset,
            study.roles(),
            study.transform,
            **study.options(),
            **options,
        )

    def settings(self) -> dict[str, Any]:
        """What identifies the measurement, besides encoders, images and views."""
        distance = {"pairs": self.pairs, "normalize": self.normalize}
        return super().settings() | distance

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Make the metrics that accumulate: one for each encoder and layer.

        Raises:
            MemorizationError: If a layer is called as a column of the images' table,
                where each layer has a column.
        """
        _refuse_names_of_columns(self.layers)
        return {
            name: nn.ModuleList(
                AlignmentDistance(self.normalize, self.pairs) for _ in self.layers
            )
            for name in self.encoders
        }

    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Take a batch of images into the metrics."""
        for name in self.encoders:
            metrics = dict(zip(self.layers, self.metrics[name], strict=True))

            def receive(
                layer: CapturedLayer,
                views: Tensor,
                metrics: dict[CapturedLayer, Any] = metrics,
            ) -> None:
                metrics[layer].update(views.flatten(2), batch.indices)

            self.run_layers(name, batch, images, receive)

    def compute(self) -> LayerMemResult:
        """Return the result over the images of all processes."""
        measured = {
            name: [
                (values["image"].cpu().numpy(), values["distance"].cpu().numpy())
                for values in (metric.compute() for metric in self.metrics[name])
            ]
            for name in self.encoders
        }
        seen = np.unique(np.concatenate([i for of in measured.values() for i, _ in of]))
        images = self.roles.set_index("index").loc[seen].reset_index()
        images.insert(1, "filename", self.filenames(seen.tolist()))
        layers = [(layer.name, layer.kind) for layer in self.layers]
        return estimate_layer_mem(
            Readings.aligned(images, layers, measured),
            {
                "n_views": self.views.n_views,
                "seed": self.views.seed,
                "pairs": self.pairs,
                "normalize": self.normalize,
                "normalization": self.normalization,
                "top_k": self.top_k,
                "reference": "g" in self.encoders,
                "skipped": self.all_skipped(),
            },
            self.n_resamples,
        )


def measure_layer_mem(
    f: nn.Module,
    g: nn.Module | None,
    dataset: Any,
    split: MemorizationSplit,
    transform: Callable[[Any], Any],
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str | torch.device = "auto",
    *,
    pairs: Literal["all", "anchor"] = "all",
    anchor_transform: Callable[[Any], Any] | None = None,
    normalize: bool = True,
    normalization: Literal["relative", "raw", "range"] = "relative",
    top_k: int = 50,
    n_resamples: int = 2000,
    skip_unreadable: bool = False,
    state_file: str | PathLike[str] | None = None,
) -> LayerMemResult:
    """Measure SSLMem of each image and LayerMem of each layer [0, 1].

    All candidates, independent and external images pass once through f and g, which
    see the same views; every layer's output is reduced the moment it appears. The
    encoders, their modes and all random states end as they began. In a distributed run
    each rank measures its share of the images and all return the whole result.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        f: Encoder trained on shared and candidate images.
        g: Encoder of the same architecture trained on shared and independent images.
            None measures the alignment gap alone, from candidates and externals: your
            training images and a holdout from the same distribution.
        dataset: Map-style data set of images without a transform of its own.
        split: The roles of its images.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch; the encoders see ``batch_size * n_views`` views.
        num_workers: Worker processes that load images.
        seed: Seed of the views, the resamples and the permutations.
        device: ``"auto"`` or a torch device.
        pairs: ``"all"`` pairs of views; or ``"anchor"``, the pairs of the image without
            augmentation with each view, as the official scripts have it.
        anchor_transform: The transform without augmentation, for ``pairs="anchor"``.
        normalize: Whether representations are divided by their L2 norm.
        normalization: Normalization of SSLMem.
        top_k: Number of most and least memorised candidates to average over; at most
            half of the candidates.
        n_resamples: Bootstrap resamples and permutations.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        state_file: Where the state is kept as the measurement goes on, and removed
            when it is complete. If it is there already, left by the same measurement
            when it was interrupted, that is resumed, with the same result.

    Returns:
        The result; ``to_pandas()`` has a row a layer, ``samples_to_pandas()`` one an
        image.

    Raises:
        MemorizationError: If the encoders differ in architecture, the split does not
            fit, a layer is not found, does not run or is called ``index``, ``filename``
            or ``role``, activations are not finite, or the state file is that of
            another measurement.
        UnreadableImageError: If an image cannot be read.
    """
    return measure(
        LayerMemEvaluator(
            f,
            g,
            dataset,
            split,
            transform,
            layers,
            n_views,
            batch_size,
            num_workers,
            seed,
            pairs=pairs,
            anchor_transform=anchor_transform,
            normalize=normalize,
            normalization=normalization,
            top_k=top_k,
            n_resamples=n_resamples,
            skip_unreadable=skip_unreadable,
            state_file=state_file,
        ),
        device,
    )


def _refuse_names_of_columns(layers: Sequence[CapturedLayer]) -> None:
    for layer in layers:
        if layer.name in ("index", "filename", "role"):
            raise MemorizationError(
                f"A layer is called {layer.name!r}, and so is a column of the images' "
                "table, where each layer has one: rename the module, or leave it out "
                "with layers=..."
            )


def _measured_roles(
    split: MemorizationSplit, dataset: Any, has_reference: bool
) -> pd.DataFrame:
    """Index and role of the images to measure, by index."""
    split.refuse_other(dataset)
    roles = ["candidate", "external"]
    if has_reference:
        roles.append("independent")
    if len(split.candidate) < 2:
        raise MemorizationError(
            f"LayerMem needs at least two candidates, got {len(split.candidate)}."
        )
    if not has_reference and len(split.external) < 2:
        raise MemorizationError(
            "Without a reference encoder, memorisation shows only against images that "
            f"the encoder never saw: expected external images, got "
            f"{len(split.external)}."
        )
    table = pd.concat(
        pd.DataFrame({"index": getattr(split, role), "role": role}) for role in roles
    )
    return table.sort_values("index", ignore_index=True)
