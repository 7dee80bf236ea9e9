"""The linear probe of lightly's benchmarks, and how it is trained and tested."""

import math
from typing import Any

import pytorch_lightning as pl
import torch
from lightly.utils.benchmarking import LinearClassifier
from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.probes.accuracy import ProbeAccuracy
from lightly_memloc.probes.frozen_features import feature_dim
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import (
    copy_encoder,
    generators_restored,
    quiet_lightning,
    resolve_device,
    seed_generators,
    trainer_device,
)


def linear_probe(
    encoder: nn.Module,
    task: ProbeTask,
    seed: int = 0,
    device: str = "auto",
    epochs: int = 90,
) -> ProbeAccuracy:
    """Evaluate frozen features by a linear classifier [0].

    The probe trains lightly's ``LinearClassifier`` with Lightning.

    - [0]: SimCLR, 2020, https://arxiv.org/abs/2002.05709

    Args:
        encoder: The encoder; it is not changed.
        task: The labelled images.
        seed: Random seed of the initialisation, the order and the augmentation.
        device: ``"auto"`` or a torch device.
        epochs: Number of training epochs.

    Returns:
        Accuracy on the test images, with its confidence interval, and which images
        are classified correctly.
    """
    frozen = copy_encoder(encoder).cpu().requires_grad_(False)
    with generators_restored(), torch.random.fork_rng():
        seed_generators(seed)
        classifier = LinearClassifier(
            frozen,
            min(task.batch_size, len(task.train)),
            feature_dim=feature_dim(frozen, task, device),
            num_classes=task.num_classes,
            topk=(1,),
        )
    return train_classifier(classifier, task, epochs, seed, device)


def train_classifier(
    classifier: pl.LightningModule, task: ProbeTask, epochs: int, seed: int, device: str
) -> ProbeAccuracy:
    """Train a classifier on a task and test it.

    Args:
        classifier: The classifier with its encoder. It is trained in place and moved
            to the CPU.
        task: The labelled images.
        epochs: Number of training epochs.
        seed: Random seed of the order and the augmentation.
        device: ``"auto"`` or a torch device.

    Returns:
        Accuracy on the test images, with its confidence interval, and which images
        are classified correctly.

    Raises:
        MemorizationError: If the training diverges.
    """
    on = resolve_device(device, classifier)
    with generators_restored(), torch.random.fork_rng(), quiet_lightning():
        seed_generators(seed)
        trainer = pl.Trainer(
            **trainer_device(on),
            max_epochs=epochs,
            callbacks=[_RefuseDivergence()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(classifier, task.train_loader(seed))
        predicted = _predicted(classifier.to(on).eval(), task, on)
        classifier.to("cpu")
    return ProbeAccuracy.of(predicted, task)


@torch.inference_mode()
def _predicted(classifier: nn.Module, task: ProbeTask, device: torch.device) -> Any:
    logits = torch.cat(
        [classifier(images.to(device)).cpu() for images, _ in task.loader(task.test)]
    )
    if not torch.isfinite(logits).all():
        raise _diverged("its predictions are NaN or infinite after the last epoch")
    return logits.argmax(dim=1).numpy()


class _RefuseDivergence(pl.Callback):
    """Ends a training whose loss is not finite."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise _diverged(f"its loss is {loss} in epoch {trainer.current_epoch + 1}")


def _diverged(how: str) -> MemorizationError:
    return MemorizationError(
        f"The training of the classifier diverged: {how}. Lower the learning rate; if it "
        "is low, the encoder's features may be too large to learn from."
    )
