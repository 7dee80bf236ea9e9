"""Measuring UnitMem: which units are tied to single images, and to which."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Self

from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import (
    holdout_estimates,
    top_images_table,
    unit_mem_tables,
)
from lightly_memloc.evaluators.evaluator import EVALUATORS
from lightly_memloc.evaluators.measure import measure
from lightly_memloc.evaluators.study import Study
from lightly_memloc.evaluators.unit_evaluator import UnitEvaluator
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.functional.unit_mem import Rest
from lightly_memloc.metrics import MemberShare, TopImages, UnitMem
from lightly_memloc.results import UnitMemResult

_TOP_IMAGES = 6


@EVALUATORS.register("unit_mem")
class UnitMemEvaluator(UnitEvaluator[UnitMemResult]):
    """Measure UnitMem of every unit of every layer in one pass [0].

    See :func:`lightly_memloc.measure_unit_mem`, which runs it, for what is measured and
    for the arguments.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Examples:
        >>> import torchvision
        >>> from pytorch_lightning import Trainer
        >>> from lightly.transforms import SimCLRTransform
        >>> from lightly_memloc import UnitMemEvaluator
        >>> from lightly_memloc.data import Digits
        >>> evaluator = UnitMemEvaluator(
        ...     torchvision.models.resnet18(),
        ...     Digits(),
        ...     SimCLRTransform(input_size=32),
        ...     indices=range(4),
        ...     holdout=range(4, 8),
        ...     n_views=2,
        ... )
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
        dataset: Any,
        transform: Callable[[Any], Any],
        indices: ArrayLike | None = None,
        holdout: ArrayLike | None = None,
        layers: str | Sequence[str] = "auto",
        n_views: int = 10,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        rest: Rest = "mean",
        rectify: Rectify = "auto",
        *,
        skip_unreadable: bool = False,
        state_file: str | PathLike[str] | None = None,
    ) -> None:
        self.members = _index_set(
            np.arange(len(dataset)) if indices is None else indices
        )
        outside = _index_set([] if holdout is None else holdout)
        _refuse_unfit(self.members, outside, indices_given=indices is not None)
        rng = np.random.default_rng(seed)
        n_mix = min(len(self.members), len(outside))
        self.mix = (
            rng.permutation(self.members)[:n_mix],
            rng.permutation(outside)[:n_mix],
        )
        super().__init__(
            model,
            dataset,
            transform,
            np.sort(np.concatenate([self.members, self.mix[1]])),
            layers,
            n_views,
            batch_size,
            num_workers,
            seed,
            rectify,
            skip_unreadable,
            state_file,
        )
        self.rest = rest
        self._is_member = torch.zeros(len(dataset), dtype=torch.bool)
        self._is_member[self.members] = True

    @classmethod
    def from_study(cls, study: Study, **options: Any) -> Self:
        """Make the evaluator of a study; its holdout, if any, gives member share."""
        return cls(
            study.model,
            study.dataset,
            study.transform,
            study.members,
            study.non_members,
            **study.options(),
            **options,
        )

    def settings(self) -> dict[str, Any]:
        """What identifies the measurement, besides encoders, images and views."""
        mix = [side.tolist() for side in self.mix]
        return super().settings() | {"rest": self.rest, "mix": mix}

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Make the metrics that accumulate, once the layers are known."""
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
        """Take activations into the metrics."""
        chosen = self._is_member[batch.indices.cpu()].to(mu.device)
        self.metrics["unit_mem"].update(mu[chosen], batch.indices[chosen])
        self.metrics["top_images"].update(mu, batch.indices)
        if "member_share" in self.metrics:
            self.metrics["member_share"].update(mu, batch.indices)

    def compute(self) -> UnitMemResult:
        """Return the result over the images of all processes."""
        values = self.arrays("unit_mem")
        against_holdout = None
        if "member_share" in self.metrics:
            against_holdout = holdout_estimates(
                self.arrays("member_share"),
                [layer.num_units for layer in self.layers],
                self.views.seed,
            )
        winners = values["winner"].tolist()
        tables = unit_mem_tables(
            self.layers,
            values,
            list(zip(winners, self.filenames(winners), strict=True)),
            self.rectification.rectified(self.layers),
            against_holdout,
        )
        top = top_images_table(tables["units"], self.arrays("top_images"))
        tables |= {"top_images": top, "images": self._images(np.unique(top["index"]))}
        n_mix = len(self.mix[0])
        return UnitMemResult(
            {
                "n_views": self.views.n_views,
                "seed": self.views.seed,
                "rest": self.rest,
                "rectify": self.rectification.rectify,
                "images": len(self.members),
                "mix": {"members": n_mix, "holdout": n_mix},
                "skipped": self.all_skipped(),
            },
            tables,
        )

    def _images(self, index: NDArray[np.int64]) -> pd.DataFrame:
        """A row an image: index, file name, and whether it is a member."""
        roles = np.where(self._is_member.numpy()[index], "member", "holdout")
        names = self.filenames(index.tolist())
        return pd.DataFrame({"index": index, "filename": names, "role": roles})


def measure_unit_mem(
    model: nn.Module,
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: ArrayLike | None = None,
    holdout: ArrayLike | None = None,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str | torch.device = "auto",
    rest: Rest = "mean",
    rectify: Rectify = "auto",
    *,
    skip_unreadable: bool = False,
    state_file: str | PathLike[str] | None = None,
) -> UnitMemResult:
    """Measure UnitMem of every unit of every layer in one pass [0].

    UnitMem measures selectivity, which units have for images that the encoder never
    saw, too. With a holdout the result also says whether the units prefer members: the
    member share and the gap, over a mix of as many members as non-members.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: The images to measure, which the encoder was trained on; all of them
            by default.
        holdout: Images from the same distribution that the encoder never saw.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch; the encoder sees ``batch_size * n_views`` views.
        num_workers: Worker processes that load images.
        seed: Seed of the views, the resamples and the permutations.
        device: ``"auto"`` or a torch device.
        rest: The average over the other images: their ``"mean"`` or their
            ``"median"``, as in the official script. The latter keeps one number an
            image and unit; the gap takes the mean in either case.
        rectify: ``"auto"`` and ``"relu"`` set negative outputs to 0, ``"abs"`` takes
            absolute values, ``"none"`` leaves them, and UnitMem unbounded.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        state_file: Where the state is kept as the measurement goes on, and removed
            when it is complete. If it is there already, left by the same measurement
            when it was interrupted, that is resumed, with the same result.

    Returns:
        The result; ``to_pandas()`` has a row a unit, ``layers_to_pandas()`` one a
        layer.

    Raises:
        MemorizationError: If an image is member and holdout at once, there are fewer
            than two images, a layer is not found or does not run, activations are not
            finite, or the state file is that of another measurement.
        UnreadableImageError: If an image cannot be read.
    """
    return measure(
        UnitMemEvaluator(
            model,
            dataset,
            transform,
            indices,
            holdout,
            layers,
            n_views,
            batch_size,
            num_workers,
            seed,
            rest,
            rectify,
            skip_unreadable=skip_unreadable,
            state_file=state_file,
        ),
        device,
    )


def _index_set(indices: ArrayLike) -> NDArray[np.int64]:
    return np.unique(np.asarray(indices, dtype=np.int64))


def _refuse_unfit(
    members: NDArray[np.int64], outside: NDArray[np.int64], indices_given: bool
) -> None:
    if len(members) < 2:
        raise MemorizationError(
            f"UnitMem needs at least two images, got {len(members)}."
        )
    overlap = np.intersect1d(members, outside)
    if len(overlap):
        advice = "" if indices_given else " Pass indices= without the holdout."
        raise MemorizationError(
            f"Image {overlap[0]} and {len(overlap) - 1} more are in indices and in "
            "holdout at once; the holdout must be images that the encoder never saw."
            + advice
        )
