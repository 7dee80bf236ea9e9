"""Measuring UnitMem: which units respond to a single image, and to which one."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Unpack

from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import (
    holdout_estimates,
    top_images_table,
    unit_mem_tables,
)
from lightly_memloc.evaluators.evaluator import EVALUATORS, computed
from lightly_memloc.evaluators.unit_evaluator import UnitEvaluator
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.functional.unit_mem import Rest
from lightly_memloc.metrics import MemberShare, TopImages, UnitMem
from lightly_memloc.results import UnitMemResult
from lightly_memloc.runtime import PassArguments, PassOptions

_TOP_IMAGES = 6


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
        members, outside = study.members, study.non_members
        if len(members) < 2:
            raise MemorizationError(
                f"UnitMem needs at least two images, got {len(members)}."
            )
        rng = np.random.default_rng(study.seed)
        n_mix = min(len(members), len(outside))
        self.mix = rng.permutation(members)[:n_mix], rng.permutation(outside)[:n_mix]
        measured = np.sort(np.concatenate([members, self.mix[1]]))
        super().__init__(
            model, study, measured, layers, rectify, PassOptions(**options)
        )
        self.rest = rest
        self._is_member = torch.zeros(len(study.dataset), dtype=torch.bool)
        self._is_member[members] = True

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
            "mix": {"members": n_mix, "holdout": n_mix},
        }

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Create the metrics. Called once the layers are known."""
        sizes = [layer.num_units for layer in self.layers]
        metrics: dict[str, Metric | nn.ModuleList] = {
            "unit_mem": UnitMem(sum(sizes), self.rest),
            "top_images": TopImages(sum(sizes), _TOP_IMAGES),
        }
        if len(self.mix[0]):
            metrics["member_share"] = MemberShare(
                sizes, *self.mix, seed=self.views.seed
            )
        return metrics

    def take(self, mu: Tensor, batch: ViewBatch) -> None:
        """Update the metrics with activations."""
        chosen = self._is_member[batch.indices.cpu()].to(mu.device)
        self.metrics["unit_mem"].update(mu[chosen], batch.indices[chosen])
        self.metrics["top_images"].update(mu, batch.indices)
        if "member_share" in self.metrics:
            self.metrics["member_share"].update(mu, batch.indices)

    def compute(self) -> UnitMemResult:
        """Return the result over the images of all processes."""
        values = computed(self.metrics["unit_mem"])
        against_holdout = None
        if "member_share" in self.metrics:
            against_holdout = holdout_estimates(
                computed(self.metrics["member_share"]),
                [layer.num_units for layer in self.layers],
                self.study.seed,
            )
        winners = values["winner"].tolist()
        tables = unit_mem_tables(
            self.layers,
            values,
            list(zip(winners, self.filenames(winners), strict=True)),
            self.rectification.rectified(self.layers),
            against_holdout,
        )
        top = top_images_table(tables["units"], computed(self.metrics["top_images"]))
        tables |= {"top_images": top, "images": self._images(np.unique(top["index"]))}
        return UnitMemResult(self.settings(), tables)

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
    holdout: ArrayLike | None = None,
    *,
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

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: Indices of training images to measure; by default all images except the
            holdout.
        holdout: Indices of images from the same distribution that the encoder never
            saw.
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
            not finite, or the state file belongs to another measurement.
        UnreadableImageError: If an image cannot be read.
    """
    study = Study(
        dataset,
        transform,
        indices=indices,
        holdout=holdout,
        n_views=n_views,
        seed=seed,
    )
    return UnitMemEvaluator(
        model, study, layers=layers, rest=rest, rectify=rectify, **options
    ).run()
