"""One pair of encoders, f and g: training, measurements and interventions."""

import numpy as np
import private_mae  # noqa: F401
import torch
from keep import keep
from scale import AUGMENTED, TIED
from ties import measure_ties
from units import measure_units

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
    make_transform,
)


def train_pair(folder, data, draw, number, scale, device):
    """Train a pair in a run folder. A complete training is kept.

    Args:
        folder: The run folder, with the name of the training.
        data: The folder of images.
        draw: The roles of the images.
        number: Number of the pair.
        scale: What is trained and measured.
        device: The device.

    Returns:
        The run.
    """
    training = scale.trainings[folder.name]
    return Run.train(
        folder,
        str(data),
        draw.split(number),
        _config(data, training, number),
        device=device,
        callbacks=training.callbacks,
    )


def measure_pair(run, draw, number, scale, device):
    """Measure a trained pair in its run folder. Existing results are kept.

    Args:
        run: The run.
        draw: The roles of the images.
        number: Number of the pair.
        scale: What is trained and measured.
        device: The device.
    """
    name = run.folder.name
    training, split = scale.trainings[name], run.split
    dataset, transform = run.dataset(), run.transform()
    encoders = run.encoder("f"), run.encoder("g")
    options = {"n_views": scale.n_views, "seed": number, "device": device}
    subjects = {run.folder: (encoders, split)}
    if training.controls:
        fresh = _untrained(run.config, number)
        controls = run.folder / "controls"
        subjects |= {
            controls / "untrained": (fresh, split),
            controls / "shuffled": (encoders, _shuffled(split, number)),
            controls / "external": (encoders, _of_external(split, number)),
        }
    for folder, (of, roles) in subjects.items():
        measured = of, dataset, roles, transform
        _measure(folder, *measured, options)
        if name in TIED:
            keep(folder / "ties", lambda of=measured: measure_ties(*of, **options))
    for other in AUGMENTED.keys() - {name} if name in AUGMENTED else ():
        config = _config(run.data, scale.trainings[other], number)
        measured = encoders, dataset, split, make_transform(config)
        _measure_layers_and_units(run.folder / "under" / other, *measured, options)
    plain = make_plain_transform(run.config)
    task = ProbeTask(dataset, draw.probe_train, draw.probe_test, plain)
    keep(
        run.folder / "probe",
        lambda: measure_probes({"f": encoders[0]}, task, ["logistic"], device=device),
    )
    if training.interventions:
        study = Study(dataset, transform, split, n_views=scale.n_views)
        _intervene(run.folder, encoders[0], study, task, number, scale, device)


def _config(data, training, number):
    """Make the settings of a training. All trainings of a pair share its seeds."""
    return TrainingConfig.for_data(str(data), seed=number, **training.settings)


def _measure(folder, encoders, dataset, split, transform, options):
    """Measure LayerMem, UnitMem and ClassMem, and analyse them together."""
    layer_mem, unit_mem = _measure_layers_and_units(
        folder, encoders, dataset, split, transform, options
    )
    class_mem = keep(
        folder / "class-mem",
        lambda: memloc.measure_class_mem(
            encoders[0], dataset, transform, split.candidate, **options
        ),
    )
    keep(folder / "analysis", lambda: analyze(layer_mem, unit_mem, class_mem))


def _measure_layers_and_units(folder, encoders, dataset, split, transform, options):
    """Measure LayerMem, and UnitMem with exchanged roles."""
    layer_mem = keep(
        folder / "layer-mem",
        lambda: memloc.measure_layer_mem(
            *encoders, dataset, split, transform, covariates=None, **options
        ),
    )
    return layer_mem, measure_units(
        folder, encoders, dataset, split, transform, options
    )


def _intervene(folder, encoder, study, task, number, scale, device):
    """Prune and fine-tune an encoder by what was measured of it."""
    seeds = range(number * scale.trials, (number + 1) * scale.trials)
    trials = {"seeds": seeds, "device": device}
    keep(
        folder / "prune",
        lambda: measure_pruning(encoder, study, task, amount=scale.pruned, **trials),
    )
    keep(
        folder / "finetune",
        lambda: measure_fine_tuning(
            encoder,
            load_result(folder / "layer-mem"),
            task,
            epochs=scale.tuning_epochs,
            **trials,
        ),
    )


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
