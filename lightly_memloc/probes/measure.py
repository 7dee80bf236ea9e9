"""Evaluating several encoders with several probes."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from torch import nn

from lightly_memloc.errors import MemorizationError, NonFiniteError
from lightly_memloc.probes.accuracy import ProbeAccuracy
from lightly_memloc.probes.fine_tune import fine_tune
from lightly_memloc.probes.frozen_features import knn_probe, logistic_probe
from lightly_memloc.probes.linear import linear_probe
from lightly_memloc.probes.task import ProbeTask
from lightly_memloc.results import ProbeResult

Probe = Callable[[nn.Module, ProbeTask, int, str], ProbeAccuracy]


def _fine_tune_probe(
    encoder: nn.Module, task: ProbeTask, seed: int, device: str
) -> ProbeAccuracy:
    return fine_tune(encoder, task, seed=seed, device=device).accuracy


PROBES: dict[str, Probe] = {
    "logistic": logistic_probe,
    "knn": knn_probe,
    "linear": linear_probe,
    "finetune": _fine_tune_probe,
}


def probe_named(name: str) -> Probe:
    """Return a probe by its name.

    Args:
        name: A key of ``PROBES``.

    Raises:
        MemorizationError: If no probe has this name.
    """
    if name not in PROBES:
        raise MemorizationError(
            f"Unknown probe {name!r}; choose from {', '.join(PROBES)}."
        )
    return PROBES[name]


def measure_probes(
    encoders: Mapping[str, nn.Module],
    task: ProbeTask,
    probes: Sequence[str] = ("logistic", "knn"),
    seed: int = 0,
    device: str = "auto",
) -> ProbeResult:
    """Evaluate encoders with probes: how well their features separate classes.

    Args:
        encoders: Encoders by name; they are not changed.
        task: The labelled images to train and to test on.
        probes: ``"logistic"`` (scikit-learn's logistic regression on frozen features),
            ``"knn"`` (lightly's weighted nearest neighbours), ``"linear"`` (lightly's
            linear classifier) and ``"finetune"`` (lightly's classifier that also trains
            the encoder). The first two take one pass over the images.
        seed: Random seed of the initialisation, the order and the augmentation of
            ``"linear"`` and ``"finetune"``.
        device: ``"auto"`` or a torch device.

    Returns:
        The result; ``to_pandas()`` has one row per encoder and probe.

    Raises:
        MemorizationError: If a probe is unknown, or the training of one diverges.
        NonFiniteError: If features of an encoder are NaN or infinite.
    """
    chosen = {name: probe_named(name) for name in probes}
    rows = []
    for encoder, model in encoders.items():
        for name, probe in chosen.items():
            try:
                found = probe(model, task, seed, device)
            except NonFiniteError as error:
                raise NonFiniteError(f"Encoder {encoder}: {error}") from error
            rows.append((encoder, name, *found.columns("").values()))
    table = pd.DataFrame(rows, columns=["encoder", "probe", "accuracy", "low", "high"])
    return ProbeResult(
        {
            "train": len(task.train),
            "test": len(task.test),
            "unlabelled": task.unlabelled,
            "classes": task.num_classes,
            "seed": seed,
            "skipped": [],
        },
        {"probes": table},
    )
