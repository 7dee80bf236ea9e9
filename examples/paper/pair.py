"""One pair of encoders, f and g: training, measurements and interventions."""

from pathlib import Path

import numpy as np
import private_mae  # noqa: F401
import torch

import lightly_memloc as memloc
from lightly_memloc.data import Study
from lightly_memloc.estimation import analyze
from lightly_memloc.interventions import measure_fine_tuning, measure_pruning
from lightly_memloc.probes import ProbeTask, measure_probes
from lightly_memloc.results import load_result
from lightly_memloc.training import (
    Run,
    TrainingConfig,
    make_backbone,
    make_plain_transform,
)


def study_pair(folder, training, data, draw, number, scale, device):
    """Train a pair in a run folder and measure it there.

    Existing trainings and results in the folder are kept.

    Args:
        folder: The run folder.
        training: The settings of the training and what is measured beside it.
        data: The folder of images.
        draw: The roles of the images.
        number: Number of the pair.
        scale: What is trained and measured.
        device: The device.
    """
    # Each pair has its own seeds; all trainings of a pair share them.
    config = TrainingConfig.for_data(str(data), seed=number, **training.settings)
    split = draw.split(number)
    run = Run.train(
        folder,
        str(data),
        split,
        config,
        device=device,
        callbacks=training.callbacks,
    )
    dataset, transform = run.dataset(), run.transform()
    encoders = run.encoder("f"), run.encoder("g")
    options = {"n_views": scale.n_views, "seed": number, "device": device}
    layer_mem = _measure(run.folder, encoders, dataset, split, transform, options)
    plain = make_plain_transform(config)
    task = ProbeTask(dataset, draw.probe_train, draw.probe_test, plain)
    _keep(
        run.folder / "probe",
        lambda: measure_probes({"f": encoders[0]}, task, ["logistic"], device=device),
    )
    if training.controls:
        fresh = _untrained(config, number)
        controls = {
            "untrained": (fresh, split),
            "shuffled": (encoders, _shuffled(split, number)),
            "external": (encoders, _of_external(split, number)),
        }
        for name, (of, roles) in controls.items():
            into = run.folder / "controls" / name
            _measure(into, of, dataset, roles, transform, options)
    if training.interventions:
        seeds = range(number * scale.trials, (number + 1) * scale.trials)
        trials = {"seeds": seeds, "device": device}
        _keep(
            run.folder / "prune",
            lambda: measure_pruning(
                encoders[0],
                Study(dataset, transform, split, n_views=scale.n_views),
                task,
                amount=scale.pruned,
                **trials,
            ),
        )
        _keep(
            run.folder / "finetune",
            lambda: measure_fine_tuning(
                encoders[0], layer_mem, task, epochs=scale.tuning_epochs, **trials
            ),
        )


def _measure(folder, encoders, dataset, split, transform, options):
    """Measure LayerMem, UnitMem and ClassMem, and analyse them together.

    UnitMem of f compares candidates with independent images. UnitMem of g compares
    independent images with candidates.

    Returns:
        The result of LayerMem.
    """
    f, g = encoders
    candidate, independent = split.candidate, split.independent
    layer_mem = _keep(
        folder / "layer-mem",
        lambda: memloc.measure_layer_mem(f, g, dataset, split, transform, **options),
    )
    unit_mem = _keep(
        folder / "unit-mem",
        lambda: memloc.measure_unit_mem(
            f, dataset, transform, candidate, holdout=independent, **options
        ),
    )
    _keep(
        folder / "unit-mem-g",
        lambda: memloc.measure_unit_mem(
            g, dataset, transform, independent, holdout=candidate, **options
        ),
    )
    class_mem = _keep(
        folder / "class-mem",
        lambda: memloc.measure_class_mem(f, dataset, transform, candidate, **options),
    )
    _keep(
        folder / "analysis",
        lambda: analyze(layer_mem, unit_mem, class_mem),
    )
    return layer_mem


def _keep(folder, measure):
    """Load a result from its folder, or measure and save it first."""
    if not (Path(folder) / "result.json").is_file():
        measure().save(folder)
    return load_result(folder)


def _untrained(config, seed):
    """Make two untrained encoders."""
    encoders = []
    for number in range(2):
        torch.manual_seed(2 * seed + number)
        encoders.append(make_backbone(config.backbone, config.input_size).eval())
    return encoders


def _shuffled(split, seed):
    """Make a split in which the roles of the measured images are shuffled."""
    sets = split.candidate, split.independent, split.external
    return _drawn(split.n, np.concatenate(sets), [len(of) for of in sets], seed)


def _of_external(split, seed):
    """Make a split that divides the external images among the three roles."""
    third = len(split.external) // 3
    return _drawn(split.n, split.external, [third] * 3, seed)


def _drawn(n, images, sizes, seed):
    drawn = np.random.default_rng(seed).permutation(images)
    ends = np.cumsum(sizes)
    sets = [drawn[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    names = ("candidate", "independent", "external")
    return memloc.MemorizationSplit(n, **dict(zip(names, sets, strict=True)))
