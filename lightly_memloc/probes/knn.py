"""The k-nearest-neighbour probe."""

import torch
from lightly.utils.benchmarking import knn_predict
from torch import nn
from torch.nn import functional

from lightly_memloc.functional import Estimate, accuracy
from lightly_memloc.probes.features import features
from lightly_memloc.probes.task import ProbeTask


def knn_probe(
    encoder: nn.Module,
    task: ProbeTask,
    seed: int = 0,
    device: str = "auto",
    k: int = 20,
    temperature: float = 0.1,
) -> Estimate:
    """Test how well an image's nearest neighbours tell its class.

    lightly's ``knn_predict`` on features of unit norm, which weighs neighbours by
    their cosine similarity [0].

    - [0]: InstDisc, 2018, https://arxiv.org/abs/1805.01978

    Args:
        encoder: The encoder; ends as it began.
        task: The labelled images.
        seed: Not used: nothing is drawn at random.
        device: ``"auto"`` or a torch device.
        k: Number of neighbours; at most as many as there are images to train on.
        temperature: Temperature of the weights.
    """
    bank, queries = (
        functional.normalize(
            torch.from_numpy(features(encoder, task, indices, device)), dim=1
        )
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
    return accuracy(torch.cat(predicted).numpy(), task.test_targets)
