"""Everything that is told of the pairs: tables and figures."""

import json
import os
import platform
from pathlib import Path

import figures
import tables
import torch
from page import render
from private_mae import privacy_spent

from lightly_memloc.report.save import to_svg

_CLASSES = "share of units with UnitMem above ClassMem"


def write_results(pairs, scale, command, images, folder):
    """Write the tables, the figures, and what they were made with.

    Args:
        pairs: What was measured of the pairs, by number.
        scale: What was trained and measured.
        command: The command that did.
        images: The folder of images.
        folder: Where all is written.
    """
    folder.mkdir(exist_ok=True)
    effects = tables.effects(pairs)
    estimates = tables.estimates(effects)
    layers = tables.by_layer(pairs, scale.trainings)
    written = layers | {
        "effects": effects,
        "estimates": estimates,
        "verdicts": tables.verdicts(estimates),
        "accuracy": tables.accuracy(pairs, scale.trainings),
        "unit_mem_epochs": tables.by_epoch(pairs),
        "images": tables.images(pairs),
    }
    for name, table in written.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    run = _made_with(pairs, scale, command)
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    layer_mem, unit_mem = layers["layer_mem"], layers["unit_mem"]
    share = "share of units that members win"
    drawn = {
        "depth": figures.estimators(layer_mem, "simclr"),
        "depth_untrained": figures.estimators(layer_mem, "simclr", "untrained"),
        "units": figures.subjects(
            unit_mem, "simclr", "member_share", "Do members win the units?", share, 0.5
        ),
        "unit_mem": figures.subjects(unit_mem, "simclr", "mean", "UnitMem", "UnitMem"),
        "labels": figures.trainings(
            unit_mem,
            "above",
            {"simclr": "SimCLR", "supervised": "supervised"},
            "Tied to an image more than to a class",
            _CLASSES,
            0.5,
        ),
        "images": figures.gallery(written["images"], images),
        "sublayers_simclr": figures.sublayers(layer_mem, "simclr_vit"),
        "sublayers_mae": figures.sublayers(layer_mem, "mae"),
        "methods": figures.trainings(
            layer_mem,
            "symmetric",
            {"simclr": "SimCLR", "byol": "BYOL", "supervised": "supervised"},
            "LayerMem along depth, ResNet",
            "symmetric LayerMem",
        ),
        "methods_vit": figures.trainings(
            layer_mem,
            "symmetric",
            {"simclr_vit": "SimCLR", "mae": "MAE", "private_mae": "MAE with privacy"},
            "LayerMem along depth, vision transformer",
            "symmetric LayerMem",
        ),
        "epochs": figures.epochs(written["unit_mem_epochs"]),
        "augmentation": figures.trainings(
            layer_mem,
            "symmetric",
            {"simclr": "crops and flips", "simclr_strong": "and colours"},
            "LayerMem by augmentation",
            "symmetric LayerMem",
        ),
    }
    for name, figure in drawn.items():
        (folder / f"{name}.svg").write_text(to_svg(figure), encoding="utf-8")
    folder.with_suffix(".md").write_text(render(folder), encoding="utf-8")


def _made_with(pairs, scale, command):
    """The command, the machine, and how long it took."""
    seconds = [of.seconds(name) for of in pairs.values() for name in scale.trainings]
    return {
        "command": command,
        "pairs": scale.pairs,
        "trainings": len(seconds),
        "roles": list(scale.roles),
        "probes": list(scale.probes),
        "pruned": scale.pruned,
        "privacy": _privacy(scale),
        "core_hours": round(sum(seconds) / 3600, 1),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _privacy(scale):
    """Epsilon and delta of the private training, as if batches were Poisson samples."""
    settings = scale.trainings["private_mae"].settings
    n_images, batch = sum(scale.roles[:2]), settings["batch_size"]
    steps = settings["epochs"] * (n_images // batch)
    return privacy_spent(batch / n_images, steps)


def _processor():
    """The processor's name."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [
        of.partition(":")[2].strip() for of in lines if of.startswith("model name")
    ]
    return names[0] if names else platform.processor()
