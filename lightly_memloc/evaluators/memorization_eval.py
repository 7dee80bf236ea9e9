"""Measuring memorisation alongside lightly's benchmark evaluations."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightly.transforms import SimCLRTransform
from lightly.utils.dist import print_rank_zero
from pytorch_lightning import Trainer
from torch import nn

from lightly_memloc.data import Study
from lightly_memloc.evaluators.backbone import Backbone, find_backbone
from lightly_memloc.evaluators.evaluator import EVALUATORS, result_folder


def memorization_eval(
    model: nn.Module,
    train_dir: str | Path,
    val_dir: str | Path,
    log_dir: str | Path,
    batch_size_per_device: int,
    num_workers: int,
    accelerator: str,
    devices: int,
    strategy: str = "auto",
    precision: Any = "32-true",
    *,
    transform: Callable[[Any], Any] | None = None,
    backbone: Backbone | None = None,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    seed: int = 0,
    evaluators: Sequence[str] = ("unit_mem", "layer_mem"),
) -> dict[str, float]:
    """Measure memorisation of a model, with the arguments of lightly's ``knn_eval``.

    Training images are members, validation images are the holdout. By default, this
    measures UnitMem of each layer with its member share and gap, and the alignment gap,
    which needs no reference encoder. Both sets must come from the same distribution;
    otherwise their difference is mistaken for memorisation.

    Args:
        model: The LightningModule (or other module) with the encoder.
        train_dir: Folder of the images that the encoder was trained on.
        val_dir: Folder of images that the encoder never saw.
        log_dir: Folder for results. Each is written to
            ``memorization_eval/<evaluator>``, such as ``memorization_eval/unit-mem``.
        batch_size_per_device: Images per batch. The encoder sees ``n_views`` views of
            each.
        num_workers: Worker processes that load images.
        accelerator: Lightning's accelerator.
        devices: Number of devices.
        strategy: Lightning's strategy.
        precision: Lightning's precision.
        transform: The training augmentation; lightly's ``SimCLRTransform`` by default.
        backbone: The encoder's name in the model, or a function that returns it.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        seed: Random seed of the views, the resamples and the permutations.
        evaluators: Names of evaluators.

    Returns:
        The scalars of all layers, such as ``member_share/layer4.1``.

    Raises:
        MemorizationError: If the encoder is not found or cannot be measured.
    """
    print_rank_zero("Running memorization evaluation...")
    encoder = find_backbone(model, backbone).module
    study = Study(
        train_dir,
        SimCLRTransform() if transform is None else transform,
        holdout=val_dir,
        n_views=n_views,
        seed=seed,
    )
    folder = Path(log_dir) / "memorization_eval"
    metrics: dict[str, float] = {}
    for name in evaluators:
        evaluator = EVALUATORS[name](
            encoder,
            study,
            layers=layers,
            batch_size=batch_size_per_device,
            num_workers=num_workers,
        )
        trainer = Trainer(
            accelerator=accelerator,
            devices=devices,
            strategy=strategy,
            precision=precision,
            default_root_dir=folder,
        )
        trainer.validate(model=evaluator, verbose=False)
        if trainer.is_global_zero:
            evaluator.result.save(folder / result_folder(name))
        for metric, value in evaluator.result.scalars().items():
            print_rank_zero(f"memorization {metric}: {value}")
            metrics[metric] = value
    return metrics
