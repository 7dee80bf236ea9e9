"""Training lightly's classifiers with Lightning."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from lightly_memloc.functional import Estimate, accuracy
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import (
    generators_restored,
    quiet_lightning,
    resolve_device,
    seed_generators,
    trainer_device,
)


def train_classifier(
    classifier: pl.LightningModule, task: ProbeTask, epochs: int, seed: int, device: str
) -> Estimate:
    """Train a classifier on a task, and test it.

    Args:
        classifier: The classifier, with its encoder; ends on the CPU, trained.
        task: The labelled images.
        epochs: Epochs of training.
        seed: Seed of the order and the augmentation.
        device: ``"auto"`` or a torch device.
    """
    on = resolve_device(device, classifier)
    with generators_restored(), torch.random.fork_rng(), quiet_lightning():
        seed_generators(seed)
        trainer = pl.Trainer(
            **trainer_device(on),
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(classifier, task.train_loader(seed))
        predicted = _predicted(classifier.to(on).eval(), task, on)
        classifier.to("cpu")
    return accuracy(predicted, task.test_targets)


def feature_dim(encoder: nn.Module, task: ProbeTask) -> int:
    """Number of features that an encoder gives for an image of a task."""
    images, _ = next(iter(task.loader(task.test[:1])))
    training = encoder.training
    with torch.inference_mode():
        given = encoder.eval()(images).flatten(start_dim=1)
    encoder.train(training)
    return int(given.shape[1])


@torch.inference_mode()
def _predicted(classifier: nn.Module, task: ProbeTask, device: torch.device) -> Any:
    batches = [
        classifier(images.to(device)).argmax(dim=1).cpu()
        for images, _ in task.loader(task.test)
    ]
    return torch.cat(batches).numpy()
