"""The linear probe of lightly's benchmarks."""

import copy

import torch
from lightly.utils.benchmarking import LinearClassifier
from torch import nn

from lightly_memloc.functional import Estimate
from lightly_memloc.probes.classifier import feature_dim, train_classifier
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import generators_restored, seed_generators


def linear_probe(
    encoder: nn.Module,
    task: ProbeTask,
    seed: int = 0,
    device: str = "auto",
    epochs: int = 90,
) -> Estimate:
    """Test how well a linear classifier tells classes by a frozen encoder [0].

    lightly's ``LinearClassifier``, trained with Lightning.

    - [0]: SimCLR, 2020, https://arxiv.org/abs/2002.05709

    Args:
        encoder: The encoder; ends as it began.
        task: The labelled images.
        seed: Seed of initialisation, order and augmentation.
        device: ``"auto"`` or a torch device.
        epochs: Epochs of training.
    """
    frozen = copy.deepcopy(encoder).cpu().requires_grad_(False)
    with generators_restored(), torch.random.fork_rng():
        seed_generators(seed)
        classifier = LinearClassifier(
            frozen,
            min(task.batch_size, len(task.train)),
            feature_dim=feature_dim(frozen, task),
            num_classes=task.num_classes,
            topk=(1,),
        )
    return train_classifier(classifier, task, epochs, seed, device)
