"""Measuring UnitMem: which units respond to a single image, and to which one."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Unpack

from lightly_memloc.data import MemorizationSplit, Study, targets_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import (
    holdout_estimates,
    matched_share,
    top_images_table,
    unit_mem_tables,
    winner_agreement,
)
from lightly_memloc.estimation.covariates import ENOUGH, Covariates
from lightly_memloc.evaluators.covariates import n_pixel_features, pixel_features
from lightly_memloc.evaluators.evaluator import EVALUATORS, computed
from lightly_memloc.evaluators.layer_mem import refuse_different_architectures
from lightly_memloc.evaluators.unit_evaluator import Activations, UnitEvaluator
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional import blind_test, matched_strata
from lightly_memloc.functional.selectivity_null import TOP, selectivity_null
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.functional.unit_mem import Rest
from lightly_memloc.metrics import ImageFeatures, MemberShare, TopImages, UnitMem
from lightly_memloc.results import UnitMemResult
from lightly_memloc.runtime import PassArguments, PassOptions

_TOP_IMAGES = 6

# The metric of each encoder's winners in the mix.
_MIXES = {"model": "member_share", "reference": "member_share_reference"}


@EVALUATORS.register("unit_mem")
class UnitMemEvaluator(UnitEvaluator[UnitMemResult]):
    """Measure UnitMem of every unit of every layer in one pass [0].

    See :func:`lightly_memloc.measure_unit_mem` for the arguments and the result.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Examples:
        >>> import torchvision
        >>> from pytorch_lightning import Trainer
        >>> from lightly.transforms import SimCLRTransform
        >>> from lightly_memloc import UnitMemEvaluator
        >>> from lightly_memloc.data import Digits, Study
        >>> study = Study(
        ...     Digits(),
        ...     SimCLRTransform(input_size=32),
        ...     indices=range(4),
        ...     holdout=range(4, 8),
        ...     n_views=2,
        ... )
        >>> evaluator = UnitMemEvaluator(torchvision.models.resnet18(), study)
        >>> trainer = Trainer(
        ...     accelerator="cpu", logger=False, enable_progress_bar=False
        ... )
        >>> metrics = trainer.validate(evaluator, verbose=False)
        >>> len(evaluator.result.to_pandas())
        3904
    """

    title: ClassVar[str] = "Measuring UnitMem"

    def __init__(
        self,
        model: nn.Module,
        study: Study,
        reference: nn.Module | None = None,
        *,
        layers: str | Sequence[str] = "auto",
        rest: Rest = "mean",
        rectify: Rectify = "auto",
        **options: Unpack[PassArguments],
    ) -> None:
        members = study.members
        independent = _independent(study) if reference is not None else members[:0]
        outside = independent if len(independent) else study.non_members
        if len(members) < 2:
            raise MemorizationError(
                f"UnitMem needs at least two images, got {len(members)}."
            )
        rng = np.random.default_rng(study.seed)
        n_mix = min(len(members), len(outside))
        self.mix = rng.permutation(members)[:n_mix], rng.permutation(outside)[:n_mix]
        measured = np.sort(np.concatenate([members, self.mix[1]]))
        if reference is not None:
            refuse_different_architectures(model, reference)
        super().__init__(
            model,
            study,
            measured,
            layers,
            rectify,
            PassOptions(**options),
            # Without a mix, there is nothing to compare with.
            reference if n_mix else None,
        )
        self.rest = rest
        self._outside = "independent" if len(independent) else "holdout"
        self._is_member = torch.zeros(len(study.dataset), dtype=torch.bool)
        self._is_member[members] = True
        self._in_mix = torch.zeros_like(self._is_member)
        self._in_mix[np.concatenate(self.mix)] = True
        self._n_pixel_features = 0

    def identity(self) -> dict[str, Any]:
        """Return the options that must match to resume an interrupted measurement."""
        mix = [side.tolist() for side in self.mix]
        return super().identity() | {"rest": self.rest, "mix": mix}

    def settings(self) -> dict[str, Any]:
        """Return the options, the device and the images left out."""
        n_mix = len(self.mix[0])
        return super().settings() | {
            "rest": self.rest,
            "images": len(self.study.members),
            "mix": {"members": n_mix, self._outside: n_mix},
            "reference": "reference" in self.encoders,
        }

    def prepare(self, images: Tensor) -> None:
        """Note how many features describe an image of the mix."""
        enough = len(self.mix[0]) >= ENOUGH and "reference" not in self.encoders
        self._n_pixel_features = n_pixel_features(images) if enough else 0

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Create the metrics. Called once the layers are known."""
        sizes = [layer.num_units for layer in self.layers]
        metrics: dict[str, Metric | nn.ModuleList] = {
            "unit_mem": UnitMem(sum(sizes), self.rest),
            "top_images": TopImages(sum(sizes), _TOP_IMAGES),
            "top_members": TopImages(sum(sizes), TOP),
            # The winner over either half of the views.
            "halves": TopImages(2 * sum(sizes), 1),
        }
        if len(self.mix[0]):
            mixed = np.concatenate(self.mix)
            groups = self._assigned(mixed).get("groups")
            clusters = (
                None
                if groups is None
                else dict(zip(mixed.tolist(), groups.tolist(), strict=True))
            )
            for encoder in self.encoders:
                metrics[_MIXES[encoder]] = MemberShare(
                    sizes, *self.mix, seed=self.views.seed, clusters=clusters
                )
        if self._n_pixel_features:
            metrics["pixels"] = ImageFeatures(self._n_pixel_features)
        return metrics

    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Update the metrics with a batch of images."""
        super().measure(batch, images)
        if "pixels" in self.metrics:
            mixed = self._in_mix[batch.indices.cpu()]
            views = images.reshape(len(batch.indices), -1, *images.shape[1:])
            features = pixel_features(views[mixed.to(views.device)])
            indices = batch.indices[mixed.to(batch.indices.device)]
            self.metrics["pixels"].update(features, indices)

    def take(self, encoder: str, mu: Activations, batch: ViewBatch) -> None:
        """Update the metrics with activations."""
        if _MIXES[encoder] in self.metrics:
            self.metrics[_MIXES[encoder]].update(mu.mean, batch.indices)
        if encoder == "reference":
            return
        chosen = self._is_member[batch.indices.cpu()].to(mu.mean.device)
        self.metrics["unit_mem"].update(mu.mean[chosen], batch.indices[chosen])
        self.metrics["top_members"].update(mu.mean[chosen], batch.indices[chosen])
        self.metrics["top_images"].update(mu.mean, batch.indices)
        halves = torch.cat([*mu.halves], dim=1)[chosen]
        self.metrics["halves"].update(halves, batch.indices[chosen])

    def compute(self) -> UnitMemResult:
        """Return the result over the images of all processes."""
        values = computed(self.metrics["unit_mem"])
        largest = computed(self.metrics["top_members"])["activation"]
        values["null"] = selectivity_null(
            largest.reshape(len(largest), -1), values["mu_rest"].reshape(-1)
        )
        values["agreement"] = winner_agreement(
            computed(self.metrics["halves"]), values["dead"]
        )
        own = pair = matched = None
        blind: dict[str, float] | None = None
        if _MIXES["model"] in self.metrics:
            counts = computed(self.metrics[_MIXES["model"]])
            estimated = partial(
                holdout_estimates,
                counts,
                [layer.num_units for layer in self.layers],
                self.study.seed,
                **self._assigned(counts["image"].reshape(-1)),
            )
            own = estimated()
            blind, alike = self._blind_test(counts)
            if alike is not None:
                matched = matched_share(counts, alike, self.study.seed)
            if "reference" in self.encoders:
                pair = estimated(reference=computed(self.metrics[_MIXES["reference"]]))
        winners = values["winner"].tolist()
        tables = unit_mem_tables(
            self.layers,
            values,
            list(zip(winners, self.filenames(winners), strict=True)),
            self.rectification.rectified(self.layers),
            pair or own,
            own if pair else None,
            matched,
        )
        top = top_images_table(tables["units"], computed(self.metrics["top_images"]))
        tables |= {"top_images": top, "images": self._images(np.unique(top["index"]))}
        return UnitMemResult({**self.settings(), "blind": blind}, tables)

    def _blind_test(
        self, counts: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, float] | None, NDArray[np.int64] | None]:
        """Test whether the images of the mix differ in kind, and match those that do not.

        Returns:
            The test, and the stratum of each image of the counts, -1 for those without a
            counterpart. None if there are too few images; no strata if there are groups.
        """
        images, is_member = counts["image"].reshape(-1), counts["member"].reshape(-1)
        sets = np.flatnonzero(is_member), np.flatnonzero(~is_member)
        order = np.concatenate(sets)
        assigned = self._assigned(images[order])
        groups = assigned.get("groups", images[order])
        n_members = len(sets[0])
        numbers = (
            len(np.unique(of)) for of in (groups[:n_members], groups[n_members:])
        )
        if "pixels" not in self.metrics or min(numbers) < ENOUGH:
            return None, None
        pixels = computed(self.metrics["pixels"])
        shared = pd.DataFrame(pixels["features"], pixels["image"]).loc[images]
        targets = targets_of(self.study.dataset)
        if targets is not None:
            shared["class"] = targets[images]
        scores = Covariates(shared, {}).blind_scores(*sets, assigned.get("groups"))
        auc = blind_test(*scores, seed=self.study.seed, **assigned).columns("auc")
        blind = {name: float(value) for name, value in auc.items()}
        if "groups" in assigned:
            return blind, None
        alike = np.empty(len(images), dtype=np.int64)
        alike[order] = matched_strata(*scores)
        return blind, alike

    def _assigned(self, images: NDArray[np.int64]) -> dict[str, Any]:
        """How images were assigned to their roles: groups and strata, if known."""
        roles = self.study.roles
        known = {"groups": roles.groups, "strata": roles.strata}
        return {name: of[images] for name, of in known.items() if of is not None}

    def _images(self, index: NDArray[np.int64]) -> pd.DataFrame:
        """One row per image: index, file name, and member or holdout as its role."""
        roles = np.where(self._is_member.numpy()[index], "member", "holdout")
        names = self.filenames(index.tolist())
        return pd.DataFrame({"index": index, "filename": names, "role": roles})


def measure_unit_mem(
    model: nn.Module,
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: ArrayLike | None = None,
    holdout: Any = None,
    *,
    reference: nn.Module | None = None,
    split: MemorizationSplit | None = None,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    seed: int = 0,
    rest: Rest = "mean",
    rectify: Rectify = "auto",
    **options: Unpack[PassArguments],
) -> UnitMemResult:
    """Measure UnitMem of every unit of every layer in one pass [0].

    UnitMem measures selectivity, and units are selective for images that the encoder
    never saw as well. With a holdout, the result also shows whether units prefer
    members: the member share and the gap, over equal numbers of members and
    non-members.

    Some images win units of any encoder. With a reference encoder, they cancel: member
    share and gap are averages over both encoders, with the roles exchanged. Both see
    the same views in one pass.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        dataset: Map-style data set of images without a transform of its own; or a
            folder or a list of images.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: Training images to measure, as indices or as a mask; by default the
            split's candidates, or all images except the holdout.
        holdout: Images from the same distribution that the encoder never saw: indices
            or a mask; or a data set, a folder or a list of images of their own. By
            default the split's external images.
        reference: Encoder of the same architecture that was trained without the
            members. If the split has independent images, on which the reference was
            trained instead, they take the place of the holdout.
        split: The roles of the images.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        seed: Random seed of the views, the resamples and the permutations.
        rest: How to average over the other images: ``"mean"``, or ``"median"`` as in
            the official script. The median stores one number per image and unit. The gap
            uses the mean in either case.
        rectify: ``"auto"`` and ``"relu"`` set negative outputs to 0, ``"abs"`` takes
            absolute values. ``"none"`` keeps negative outputs, so that UnitMem is not
            bounded by 0 and 1.
        options: How the pass over the images runs: ``batch_size``, ``num_workers``,
            ``device``, ``precision``, ``skip_unreadable`` and ``state_file``, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result. ``to_pandas()`` has one row per unit, with UnitMem from 0 to 1 and
        the image that activates the unit most; ``layers_to_pandas()`` has one row per
        layer.

    Raises:
        MemorizationError: If an image is in ``indices`` and in ``holdout``, there are
            fewer than two images, a layer is not found or does not run, activations are
            not finite, or the state file belongs to another measurement. With a
            reference encoder: if it differs in architecture, or there are no images
            that the model was not trained on.
        UnreadableImageError: If an image cannot be read.
    """
    study = Study(
        dataset,
        transform,
        split,
        indices=indices,
        holdout=holdout,
        n_views=n_views,
        seed=seed,
    )
    evaluator = UnitMemEvaluator(
        model, study, reference, layers=layers, rest=rest, rectify=rectify, **options
    )
    if reference is not None and not len(evaluator.mix[0]):
        raise MemorizationError(
            "A reference encoder needs images that the model was not trained on: pass a "
            "split with independent or external images, or holdout=..."
        )
    return evaluator.run()


def _independent(study: Study) -> NDArray[np.int64]:
    """The images that only the reference encoder was trained on."""
    if study.split is None:
        return np.empty(0, dtype=np.int64)
    both = np.intersect1d(study.members, study.split.independent)
    if len(both):
        raise MemorizationError(
            f"Image {both[0]} and {len(both) - 1} more are both in indices and among the "
            "independent images, on which only the reference encoder was trained."
        )
    return study.split.independent
