"""Fast probes: one pass over the images, then a classifier on frozen features."""

import numpy as np
import torch
from lightly.utils.benchmarking import knn_predict
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.functional import normalize

from lightly_memloc.probes.accuracy import ProbeAccuracy
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import leave_no_trace, resolve_device


def logistic_probe(
    encoder: nn.Module, task: ProbeTask, seed: int = 0, device: str = "auto"
) -> ProbeAccuracy:
    """Evaluate frozen features by logistic regression.

    The probe standardises the features and fits scikit-learn's ``LogisticRegression``
    with its default penalty.

    Args:
        encoder: The encoder; it is not changed.
        task: The labelled images.
        seed: Ignored: the solver is deterministic.
        device: ``"auto"`` or a torch device.

    Returns:
        Accuracy on the test images, with its confidence interval, and which images
        are classified correctly.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_features(encoder, task, task.train, device), task.train_targets)
    predicted = model.predict(_features(encoder, task, task.test, device))
    return ProbeAccuracy.of(predicted, task)


def knn_probe(
    encoder: nn.Module,
    task: ProbeTask,
    seed: int = 0,
    device: str = "auto",
    k: int = 20,
    temperature: float = 0.1,
) -> ProbeAccuracy:
    """Evaluate frozen features by k-nearest-neighbour classification [0].

    The probe normalises the features and runs lightly's ``knn_predict``, which weights
    neighbours by their cosine similarity.

    - [0]: InstDisc, 2018, https://arxiv.org/abs/1805.01978

    Args:
        encoder: The encoder; it is not changed.
        task: The labelled images.
        seed: Ignored: the probe is deterministic.
        device: ``"auto"`` or a torch device.
        k: Number of neighbours, at most the number of training images.
        temperature: Temperature of the weights.

    Returns:
        Accuracy on the test images, with its confidence interval, and which images
        are classified correctly.
    """
    bank, queries = (
        normalize(torch.from_numpy(_features(encoder, task, indices, device)), dim=1)
        for indices in (task.train, task.test)
    )
    predicted = [
        knn_predict(
            batch,
            bank.T,
            torch.from_numpy(task.train_targets),
            task.num_classes,
            min(k, len(bank)),
            temperature,
        )[:, 0]
        for batch in torch.split(queries, task.batch_size)
    ]
    return ProbeAccuracy.of(torch.cat(predicted).numpy(), task)


def _features(
    encoder: nn.Module, task: ProbeTask, indices: NDArray[np.int64], device: str
) -> NDArray[np.float32]:
    """Features of images with flattened positions, shape (N, D)."""
    on = resolve_device(device, encoder)
    with leave_no_trace([encoder], on), torch.inference_mode():
        batches = [
            encoder(images.to(on)).flatten(start_dim=1).float().cpu()
            for images, _ in task.loader(indices)
        ]
    return torch.cat(batches).numpy()
