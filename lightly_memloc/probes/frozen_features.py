"""Fast probes: one pass over the images, then a classifier on frozen features."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from lightly.utils.benchmarking import knn_predict
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import normalize

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.layers import features_of
from lightly_memloc.metrics.image_metric import refuse_non_finite
from lightly_memloc.probes.accuracy import ProbeAccuracy
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.runtime import leave_no_trace, resolve_device

T = TypeVar("T")


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


def feature_dim(encoder: nn.Module, task: ProbeTask, device: str = "auto") -> int:
    """Count the features of an image, and check those of all images of a task.

    Args:
        encoder: The encoder; it is not changed.
        task: The labelled images.
        device: ``"auto"`` or a torch device.

    Raises:
        NonFiniteError: If a feature is NaN or infinite; the message names the image.
    """
    images = np.concatenate([task.train, task.test])
    return _over_batches(encoder, task, images, device, lambda of: of.shape[1])[0]


def _features(
    encoder: nn.Module, task: ProbeTask, indices: NDArray[np.int64], device: str
) -> NDArray[np.float32]:
    """Features of images with flattened positions, shape (N, D)."""
    batches = _over_batches(encoder, task, indices, device, Tensor.cpu)
    return torch.cat(batches).numpy()


def _over_batches(
    encoder: nn.Module,
    task: ProbeTask,
    indices: NDArray[np.int64],
    device: str,
    keep: Callable[[Tensor], T],
) -> list[T]:
    """What is kept of each batch of features, which are finite."""
    on, kept = resolve_device(device, encoder), []
    parts = np.split(indices, range(task.batch_size, len(indices), task.batch_size))
    with leave_no_trace([encoder], on), torch.inference_mode():
        for part, (images, _) in zip(parts, task.loader(indices), strict=True):
            features = features_of(encoder, images.to(on)).float()
            try:
                refuse_non_finite(features, torch.from_numpy(part))
            except NonFiniteError as error:
                raise NonFiniteError(
                    f"Features of the {type(encoder).__name__}: {error}"
                ) from error
            kept.append(keep(features))
    return kept
