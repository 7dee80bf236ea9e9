"""Measuring LayerMem: how much better f aligns its candidates than g, per layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Unpack

from lightly_memloc.data import MemorizationSplit, Study, targets_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import Readings, estimate_layer_mem
from lightly_memloc.evaluators.covariates import (
    N_UNITS,
    UNTRAINED,
    Covariates,
    covariate_encoders,
    prepare_untrained,
    principal_components,
    unit_features,
)
from lightly_memloc.evaluators.evaluator import EVALUATORS, Evaluator, computed
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional import pixel_statistics
from lightly_memloc.functional.alignment_distance import divisible_views
from lightly_memloc.functional.pixel_statistics import PIXEL_STATISTICS
from lightly_memloc.layers import CapturedLayer, trace_layers
from lightly_memloc.metrics import AlignmentDistance, ImageFeatures
from lightly_memloc.results import LayerMemResult
from lightly_memloc.runtime import PassArguments, PassOptions, shapes_of

# Distances of views that are the same: single precision computes them to this.
_SAME = 1e-9


@EVALUATORS.register("layer_mem")
class LayerMemEvaluator(Evaluator[LayerMemResult]):
    """Measure SSLMem of each image and LayerMem of each layer [0, 1].

    See :func:`lightly_memloc.measure_layer_mem` for the arguments and the result.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: LayerMem, 2024, https://arxiv.org/abs/2409.19069
    """

    title: ClassVar[str] = "Measuring LayerMem"
    read: ClassVar[Literal["state", "units"]] = "state"

    def __init__(
        self,
        model: nn.Module,
        study: Study,
        reference: nn.Module | None = None,
        *,
        layers: str | Sequence[str] = "auto",
        pairs: Literal["all", "anchor"] = "all",
        normalize: bool = True,
        normalization: Literal["relative", "raw", "range"] = "relative",
        top_k: int = 50,
        n_resamples: int = 2000,
        covariates: Covariates = "auto",
        matched: bool = False,
        **options: Unpack[PassArguments],
    ) -> None:
        if matched and (reference is not None or covariates is None):
            raise MemorizationError(
                "matched=True compares the members and the held-out images of a single "
                "encoder that are alike by its covariates: leave out the reference "
                "encoder, and covariates=None."
            )
        roles = _measured_roles(study.roles, has_reference=reference is not None)
        if pairs == "anchor" and study.plain_transform is None:
            raise MemorizationError(
                "pairs='anchor' compares each view with the unaugmented image and needs "
                "a transform for it: set plain_transform in the study."
            )
        if reference is not None:
            refuse_different_architectures(model, reference)
        if not len(study.roles.external):
            covariates = None
        further = covariate_encoders(model, reference, covariates, study.seed)
        pair = {"f": model} if reference is None else {"f": model, "g": reference}
        super().__init__(
            pair | further,
            study,
            roles["index"].to_numpy(),
            layers,
            PassOptions(**options),
            anchored=pairs == "anchor",
        )
        self.roles = roles
        self.added = list(further)
        self.covariates = covariates
        self.matched = matched
        self.foreign = [
            name
            for name, encoder in further.items()
            if difference_of_architectures(model, encoder)
        ]
        self.pairs = pairs
        self.normalize = normalize
        self.normalization = normalization
        self.top_k = top_k
        self.n_resamples = n_resamples

    def identity(self) -> dict[str, Any]:
        """Return the options that must match to resume an interrupted measurement."""
        return super().identity() | {
            "pairs": self.pairs,
            "normalize": self.normalize,
            "covariates": self._named_covariates(),
        }

    def settings(self) -> dict[str, Any]:
        """Return the options, the device and the images left out."""
        return super().settings() | {
            "pairs": self.pairs,
            "normalize": self.normalize,
            "normalization": self.normalization,
            "top_k": self.top_k,
            "n_resamples": self.n_resamples,
            "reference": "g" in self.encoders,
            "covariates": self._named_covariates(),
            "matched": self.matched,
        }

    def prepare(self, images: Tensor) -> None:
        """Prepare the encoders whose distances are covariates.

        Raises:
            MemorizationError: If a layer has the name of a fixed column in the table of
                images, which has one column per layer.
        """
        _refuse_names_of_columns(self.layers)
        for name in self.foreign:
            encoder: Any = self.encoders[name]
            self.own_layers[name] = trace_layers(encoder, "auto", self.read, images[:2])
        prepare_untrained(
            self.encoders,
            self.views,
            self.study.roles.external.tolist(),
            images,
        )

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Create one metric per encoder and layer. Called once the layers are known."""
        n_views = self.study.n_views + int(self.pairs == "anchor")
        halves = n_views >= divisible_views(self.pairs)
        metrics: dict[str, Metric | nn.ModuleList] = {
            name: nn.ModuleList(
                AlignmentDistance(
                    self.normalize, self.pairs, halves=halves and name in ("f", "g")
                )
                for _ in self.own_layers.get(name, self.layers)
            )
            for name in self.encoders
        }
        if self.covariates is not None:
            metrics["pixels"] = ImageFeatures(len(PIXEL_STATISTICS))
        if UNTRAINED[0] in self.encoders:
            metrics["units"] = ImageFeatures(N_UNITS)
        return metrics

    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Update the metrics with a batch of images."""
        for name in self.encoders:
            layers = self.own_layers.get(name, self.layers)
            metrics = dict(zip(layers, self.metrics[name], strict=True))

            def receive(
                layer: CapturedLayer,
                views: Tensor,
                name: str = name,
                layers: Sequence[CapturedLayer] = layers,
                metrics: dict[CapturedLayer, Any] = metrics,
            ) -> None:
                metrics[layer].update(views.flatten(2), batch.indices)
                if name == UNTRAINED[0] and layer is layers[-1]:
                    self.metrics["units"].update(unit_features(views), batch.indices)

            self.run_layers(name, batch, images, receive)
        if self.covariates is not None:
            pixels = images.reshape(len(batch.indices), -1, *images.shape[1:])
            self.metrics["pixels"].update(pixel_statistics(pixels), batch.indices)

    def compute(self) -> LayerMemResult:
        """Return the result over the images of all processes.

        Raises:
            MemorizationError: If the views of every image are the same.
        """
        measured = {
            name: [
                (
                    of["image"],
                    np.column_stack(
                        [of[key] for key in ("distance", "halves") if key in of]
                    ),
                )
                for of in map(computed, self.metrics[name])
            ]
            for name in self.encoders
        }
        if not any(distances.max() > _SAME for _, distances in measured["f"]):
            raise MemorizationError(
                "The distances of all images are 0 in every layer: the transform gives "
                "the same view each time. LayerMem needs the augmentation of the "
                "encoder's training."
            )
        foreign = {name: measured.pop(name) for name in self.foreign}
        seen = np.unique(np.concatenate([i for of in measured.values() for i, _ in of]))
        images = self.roles.set_index("index").loc[seen].reset_index()
        images.insert(1, "filename", self.filenames(seen.tolist()))
        if self.copies and "group" not in images:
            # Copies of an image are not independent of it.
            group = [self.copies.get(index, index) for index in seen.tolist()]
            images.insert(3, "group", group)
        layers = [(layer.name, layer.kind) for layer in self.layers]
        return estimate_layer_mem(
            Readings.aligned(
                images, layers, measured, self._covariates_of(seen, foreign)
            ),
            self.settings(),
            self.n_resamples,
        )

    def _named_covariates(self) -> str | list[str] | None:
        if self.covariates is None or isinstance(self.covariates, str):
            return self.covariates
        return [type(encoder).__name__ for encoder in self.covariates]

    def _covariates_of(
        self, seen: NDArray[np.int64], foreign: Mapping[str, Any]
    ) -> pd.DataFrame | None:
        """One row per image of covariates that all layers share."""
        if self.covariates is None:
            return None
        pixels = computed(self.metrics["pixels"])
        columns: dict[str, Any] = {
            f"pixels:{name}": pd.Series(values, pixels["image"])
            for name, values in zip(PIXEL_STATISTICS, pixels["features"].T, strict=True)
        }
        if "units" in self.metrics:
            units = computed(self.metrics["units"])
            components = principal_components(units["features"])
            for number, values in enumerate(components.T, start=1):
                columns[f"units:{number}"] = pd.Series(values, units["image"])
        for encoder, by_layer in foreign.items():
            for layer, (index, distance) in zip(
                self.own_layers[encoder], by_layer, strict=True
            ):
                columns[f"{encoder}:{layer.name}"] = pd.Series(distance[:, 0], index)
        targets = targets_of(self.study.dataset)
        if targets is not None:
            columns["class"] = pd.Series(targets[seen], seen)
        return pd.DataFrame(columns).loc[seen].reset_index(drop=True)


def measure_layer_mem(
    f: nn.Module,
    g: nn.Module | None,
    dataset: Any,
    split: MemorizationSplit | None,
    transform: Callable[[Any], Any],
    *,
    holdout: Any = None,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    seed: int = 0,
    pairs: Literal["all", "anchor"] = "all",
    anchor_transform: Callable[[Any], Any] | None = None,
    normalize: bool = True,
    normalization: Literal["relative", "raw", "range"] = "relative",
    top_k: int = 50,
    n_resamples: int = 2000,
    covariates: Covariates = "auto",
    matched: bool = False,
    **options: Unpack[PassArguments],
) -> LayerMemResult:
    """Measure SSLMem of each image and LayerMem of each layer [0, 1].

    All candidate, independent and external images pass once through f and g, which see
    the same views. Each layer's output is reduced as soon as it exists. The encoders
    and all random generators are restored to their original state. In a distributed
    run, each rank measures its share of the images and returns the whole result.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        f: Encoder trained on shared and candidate images.
        g: Encoder of the same architecture trained on shared and independent images.
            If None, only the alignment gap between candidates and external images is
            measured: your training images and a holdout from the same distribution.
        dataset: Map-style data set of images without a transform of its own; or a
            folder or a list of images.
        split: The roles of its images; None if ``holdout`` is given.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        holdout: Without a split: images that the encoder never saw, as a data set, a
            folder or a list of images of their own; or indices or a mask of images in
            ``dataset``. The others are those that f was trained on.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        seed: Random seed of the views, the resamples and the permutations.
        pairs: ``"all"`` compares all pairs of views. ``"anchor"`` compares each view
            with the unaugmented image, as the official scripts do.
        anchor_transform: The transform without augmentation, for ``pairs="anchor"``.
        normalize: Whether to divide representations by their L2 norm.
        normalization: Normalization of SSLMem: ``"relative"``, ``"raw"`` or
            ``"range"``, as in :func:`lightly_memloc.functional.ssl_mem`.
        top_k: Number of most and of least memorised candidates to average over, at most
            half of the candidates.
        n_resamples: Number of bootstrap resamples and of permutations.
        covariates: What explains how hard each image is to align, for the adjusted gap.
            ``"auto"``: statistics of the views' pixels, the class if known, and g or,
            without it, two untrained encoders of the same architecture, which take as
            long as f each. Or a list of encoders of any architecture that were not
            trained on the members, with the pixels' statistics and the class. None
            leaves the adjusted gap out.
        matched: Whether to compare only members and held-out images of a single encoder
            that have a counterpart in the other set, by what a classifier that never
            saw the encoder makes of them. For sets that differ in kind.
        options: How the pass over the images runs: ``batch_size``, ``num_workers``,
            ``device``, ``precision``, ``skip_unreadable`` and ``state_file``, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result. ``to_pandas()`` has one row per layer, ``samples_to_pandas()`` one
        row per image.

    Raises:
        MemorizationError: If the encoders differ in architecture, the split does not
            match the data set, a layer is not found, does not run or has the name of a
            column (``index``, ``filename``, ``role``, ``group``, ``stratum``), activations are not finite, or the
            state file belongs to another measurement.
        UnreadableImageError: If an image cannot be read.
    """
    if (pairs == "anchor") != (anchor_transform is not None):
        raise MemorizationError(
            "pairs='anchor' and anchor_transform must be given together: the transform "
            "makes the unaugmented image that each view is compared with."
        )
    study = Study(
        dataset,
        transform,
        split,
        holdout=holdout,
        n_views=n_views,
        seed=seed,
        plain_transform=anchor_transform,
    )
    return LayerMemEvaluator(
        f,
        study,
        g,
        layers=layers,
        pairs=pairs,
        normalize=normalize,
        normalization=normalization,
        top_k=top_k,
        n_resamples=n_resamples,
        covariates=covariates,
        matched=matched,
        **options,
    ).run()


def refuse_different_architectures(f: nn.Module, g: nn.Module) -> None:
    """Check that the weights of two encoders have the same names and shapes.

    Args:
        f: An encoder.
        g: Another encoder.

    Raises:
        MemorizationError: If they differ. The message names the first difference.
    """
    difference = difference_of_architectures(f, g)
    if difference:
        raise MemorizationError(
            f"f and g differ in architecture: {difference} in g. Use encoders of the "
            "same architecture."
        )


def difference_of_architectures(f: nn.Module, g: nn.Module) -> str:
    """Return the first difference of two encoders' weights; empty if there is none.

    Args:
        f: An encoder.
        g: Another encoder.
    """
    shapes_f, shapes_g = (shapes_of(model.state_dict()) for model in (f, g))
    missing = "none (it is missing)"
    for name in [*shapes_f, *shapes_g]:
        shape_f, shape_g = shapes_f.get(name, missing), shapes_g.get(name, missing)
        if shape_f != shape_g:
            is_shape = all(
                isinstance(of, tuple) or of is missing for of in (shape_f, shape_g)
            )
            kind = "shape" if is_shape else "type"
            return f"{name} has {kind} {shape_f} in f and {shape_g}"
    return ""


def _refuse_names_of_columns(layers: Sequence[CapturedLayer]) -> None:
    for layer in layers:
        if layer.name in ("index", "filename", "role", "group", "stratum"):
            raise MemorizationError(
                f"A layer is called {layer.name!r}, which is the name of a fixed column "
                "in the table of images: rename the module, or exclude it with "
                "layers=..."
            )


def _measured_roles(split: MemorizationSplit, has_reference: bool) -> pd.DataFrame:
    """Index and role of the images to measure, by index."""
    roles = ["candidate", "external"]
    if has_reference:
        roles.append("independent")
    if len(split.candidate) < 2:
        raise MemorizationError(
            f"LayerMem needs at least two candidates, got {len(split.candidate)}."
        )
    if not has_reference and len(split.external) < 2:
        raise MemorizationError(
            "Without a reference encoder, candidates are compared with images that the "
            f"encoder never saw: expected at least two external images, got "
            f"{len(split.external)}. Pass a split or a holdout that has them."
        )
    table = pd.concat(
        pd.DataFrame({"index": getattr(split, role), "role": role}) for role in roles
    )
    table = table.sort_values("index", ignore_index=True)
    for column, of_images in (("group", split.groups), ("stratum", split.strata)):
        if of_images is not None:
            table[column] = of_images[table["index"].to_numpy()]
    return table
