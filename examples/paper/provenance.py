"""Provenance of the results: command, settings, machine and time."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch
from private_mae import privacy_spent


def made_with(pairs, scale, command):
    """Collect the provenance of the results.

    Args:
        pairs: The measurements of the pairs, by number.
        scale: What was trained and measured.
        command: The command that was run.

    Returns:
        A document of plain types.
    """
    seconds = [of.seconds(name) for of in pairs.values() for name in scale.trainings]
    trained = [of["training"] for of in seconds if "training" in of]
    return {
        "command": command,
        "pairs": scale.pairs,
        "trainings": len(seconds),
        "roles": list(scale.roles),
        "probes": list(scale.probes),
        "pruned": scale.pruned,
        "trials": scale.trials,
        "privacy": _privacy(scale),
        "training_hours": round(sum(trained) / 3600, 1),
        "trained_before": len(seconds) - len(trained),
        "measuring_hours": round(sum(of["measuring"] for of in seconds) / 3600, 1),
        "lightly_memloc": version("lightly-memloc"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _privacy(scale):
    """Compute epsilon and delta as if batches were Poisson samples."""
    settings = scale.trainings["private_mae"].settings
    n_images, batch = sum(scale.roles[:2]), settings["batch_size"]
    steps = settings["epochs"] * (n_images // batch)
    return privacy_spent(batch / n_images, steps)


def _processor():
    """Return the name of the processor."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [
        of.partition(":")[2].strip() for of in lines if of.startswith("model name")
    ]
    return names[0] if names else platform.processor()
