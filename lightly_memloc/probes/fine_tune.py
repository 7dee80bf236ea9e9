"""Fine-tuning selected layers of an encoder on labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightly.utils.benchmarking import FinetuneClassifier
from torch import nn

from lightly_memloc.layers import weights_of
from lightly_memloc.probes.accuracy import ProbeAccuracy
from lightly_memloc.probes.frozen_features import feature_dim
from lightly_memloc.probes.linear import train_classifier
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import (
    copy_encoder,
    generators_restored,
    refuse_outside,
    seed_generators,
)


@dataclass(frozen=True)
class FineTuned:
    """An encoder after fine-tuning.

    Attributes:
        encoder: The encoder, in evaluation mode.
        accuracy: Accuracy on the task's test images.
    """

    encoder: nn.Module
    accuracy: ProbeAccuracy


def fine_tune(
    encoder: nn.Module,
    task: ProbeTask,
    layers: str | Sequence[str] = "auto",
    seed: int = 0,
    device: str = "auto",
    epochs: int = 30,
    learning_rate: float = 0.05,
) -> FineTuned:
    """Fine-tune selected layers of an encoder, and a linear classifier, on a task [0].

    The function trains lightly's ``FinetuneClassifier`` with Lightning. All other
    layers are frozen: their parameters and buffers, including BatchNorm statistics,
    stay bit-identical. Weights that a chosen layer shares with others are trained in
    all of them, with a warning.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        encoder: The encoder; it is not changed.
        task: The labelled images.
        layers: Names, globs or kinds of layers, or names of modules, as in
            ``exchange_layers``: a layer selects its segment of the forward pass.
            ``"auto"`` selects all layers, ``[]`` trains the classifier alone.
        seed: Random seed of the initialisation, the order and the augmentation.
        device: ``"auto"`` or a torch device.
        epochs: Number of training epochs.
        learning_rate: Learning rate for a batch of 256 images; scaled in proportion to
            the batch size.

    Returns:
        The fine-tuned copy of the encoder and its accuracy.

    Raises:
        MemorizationError: If a layer is not found, an option is out of bounds, or the
            training diverges.
        NonFiniteError: If the encoder's features are NaN or infinite.
    """
    refuse_outside("epochs", epochs, at_least=1, whole=True)
    refuse_outside("learning_rate", learning_rate, at_least=0)
    tuned = copy_encoder(encoder).cpu().eval()
    example, _ = next(iter(task.loader(task.test[:2])))
    with torch.no_grad():
        chosen = set(weights_of(tuned, layers, example))
    with generators_restored(), torch.random.fork_rng():
        seed_generators(seed)
        classifier = _Classifier(
            tuned,
            min(task.batch_size, len(task.train)),
            learning_rate,
            feature_dim(tuned, task, device),
            task.num_classes,
            (1,),
        )
    classifier.choose(chosen)
    accuracy = train_classifier(classifier, task, epochs, seed, device)
    for parameter, before in zip(tuned.parameters(), encoder.parameters(), strict=True):
        parameter.requires_grad_(before.requires_grad)
    return FineTuned(tuned.eval(), accuracy)


class _Classifier(FinetuneClassifier):  # type: ignore[misc]
    """lightly's classifier with a partly frozen encoder."""

    def choose(self, entries: set[str]) -> None:
        """Freeze the encoder except for some parameters and buffers."""
        self._live = [
            module
            for name, module in self.model.named_modules()
            if any(
                f"{name}.{own}".lstrip(".") in entries
                # Statistics that are not chosen stay, whoever shares the weights.
                for own in module._buffers or module._parameters
            )
        ]
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in entries)

    def get_trainable_parameters(self) -> list[nn.Parameter]:
        """Return the parameters to train."""
        return [p for p in self.parameters() if p.requires_grad]

    def on_train_epoch_start(self) -> None:
        """Keep frozen modules in evaluation mode."""
        self.model.eval()
        for module in self._live:
            module.training = True
