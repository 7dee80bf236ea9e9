"""Measuring the effect of interventions on an encoder's accuracy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import summarize_trials
from lightly_memloc.evaluators import UnitMemEvaluator
from lightly_memloc.interventions.exchange import exchange_layers
from lightly_memloc.interventions.prune import prune_units
from lightly_memloc.interventions.select import (
    UnitStrategy,
    ranked_layers,
    select_units,
)
from lightly_memloc.layers import device_of, segments
from lightly_memloc.probes import ProbeAccuracy, ProbeTask, fine_tune, probe_named
from lightly_memloc.results import InterventionResult, LayerMemResult
from lightly_memloc.runtime import (
    PassArguments,
    PassOptions,
    leave_no_trace,
    refuse_outside,
)

# Strategy, seed, accuracy after and before, and where it intervened.
_Trial = tuple[str, int, ProbeAccuracy, ProbeAccuracy, str]


def measure_pruning(
    model: nn.Module,
    study: Study,
    task: ProbeTask,
    *,
    layers: str | Sequence[str] = "auto",
    amount: float = 0.1,
    per_layer: bool = True,
    strategies: Sequence[UnitStrategy] = ("highest", "lowest", "random"),
    probe: str = "logistic",
    seeds: Sequence[int] = range(5),
    **options: Unpack[PassArguments],
) -> InterventionResult:
    """Measure how pruning units by UnitMem affects an encoder's accuracy [0].

    Each trial measures UnitMem with its own seed for the views, selects and prunes
    units, and trains and tests a new probe. The model is restored. All trials use the
    same encoder and test images: an interval contains the effect on this encoder, over
    other seeds and other test images of the same kind.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        study: A study whose members UnitMem is measured on. Its seed is replaced by
            that of each trial.
        task: The labelled images of the probe.
        layers: Names, globs or kinds of the layers whose units are pruned.
        amount: Number of units, or a fraction of the live units if below 1.
        per_layer: Whether the amount applies to each layer or across the encoder.
        strategies: Whether to prune units with the ``"highest"`` or ``"lowest"``
            UnitMem, or ``"random"`` units.
        probe: Name of the probe.
        seeds: Random seeds of the views, the random units and the probe, one per trial.
        options: How the pass over the images runs, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result. ``to_pandas()`` has one row per strategy, ``units_to_pandas()`` one
        row per trial and pruned unit.

    Raises:
        MemorizationError: If a layer, strategy or probe is unknown, or the amount is
            not positive or exceeds the live units.
    """
    refuse_outside("amount", amount, above=0)
    test, example = probe_named(probe), _example(model, task)
    device = str(PassOptions(**options).device)
    members = study.without_holdout()
    trials: list[_Trial] = []
    chosen: list[tuple[str, int, str, int]] = []
    for seed in seeds:
        baseline = test(model, task, seed, device)
        unit_mem = UnitMemEvaluator(
            model, replace(members, seed=seed), layers=layers, **options
        ).run()
        for strategy in strategies:
            units = select_units(unit_mem, strategy, amount, per_layer, seed)
            pruned = prune_units(model, units, example)
            try:
                accuracy = test(model, task, seed, device)
            finally:
                pruned.undo()
            listed = [(layer, unit) for layer, of in units.items() for unit in of]
            where = f"{len(listed)} units"
            trials.append((strategy, seed, accuracy, baseline, where))
            chosen.extend((strategy, seed, *unit) for unit in listed)
    settings = {"intervention": "prune", "amount": amount, "per_layer": per_layer}
    return _summarized(
        trials,
        task,
        settings | {"probe": probe},
        pd.DataFrame(chosen, columns=["strategy", "trial", "layer", "unit"]),
    )


def measure_fine_tuning(
    model: nn.Module,
    layer_mem: LayerMemResult,
    task: ProbeTask,
    *,
    n_layers: int = 1,
    epochs: int = 30,
    learning_rate: float = 0.05,
    seeds: Sequence[int] = range(5),
    device: str = "auto",
) -> InterventionResult:
    """Measure accuracy after fine-tuning selected layers of an encoder [0].

    The strategies are ``"most"`` (the layers that memorise most, by calibrated Delta
    LayerMem), ``"last"`` (the last layers), ``"random"``, ``"all"``, and ``"head"``
    (the classifier only), which is the baseline of each trial. All trials use the same
    encoder and test images: an interval contains the effect on this encoder, over other
    seeds and other test images of the same kind.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder; it is not changed.
        layer_mem: LayerMem of the encoder.
        task: The labelled images.
        n_layers: Number of layers to tune.
        epochs: Number of training epochs.
        learning_rate: Learning rate for a batch of 256.
        seeds: Random seeds of the classifier, the order of images and the random
            layers, one per trial.
        device: ``"auto"`` or a torch device.

    Returns:
        The result. ``to_pandas()`` has one row per strategy.

    Raises:
        MemorizationError: If there are fewer layers with weights than ``n_layers``, or
            ``layer_mem`` lacks the estimates that layers are ranked by.
    """
    refuse_outside("epochs", epochs, at_least=1, whole=True)
    refuse_outside("learning_rate", learning_rate, at_least=0)
    ranked, ordered = _layers(model, layer_mem, task, n_layers)

    def tuned(layers: str | Sequence[str], seed: int) -> ProbeAccuracy:
        result = fine_tune(model, task, layers, seed, device, epochs, learning_rate)
        return result.accuracy

    def trials() -> Iterator[_Trial]:
        for seed in seeds:
            baseline = tuned([], seed)
            for strategy, layers in (
                ("most", ranked[:n_layers]),
                ("last", ordered[-n_layers:]),
                (
                    "random",
                    np.random.default_rng(seed)
                    .permutation(ordered)[:n_layers]
                    .tolist(),
                ),
            ):
                accuracy = tuned(layers, seed)
                yield strategy, seed, accuracy, baseline, ", ".join(layers)
            yield "all", seed, tuned("auto", seed), baseline, "all layers"
            yield "head", seed, baseline, baseline, "the classifier alone"

    settings = {"intervention": "finetune", "layers": n_layers, "epochs": epochs}
    return _summarized(list(trials()), task, settings)


def measure_exchange(
    model: nn.Module,
    donor: nn.Module,
    layer_mem: LayerMemResult,
    task: ProbeTask,
    *,
    n_layers: int = 1,
    probe: str = "logistic",
    seed: int = 0,
    device: str = "auto",
) -> InterventionResult:
    """Measure accuracy after replacing layers of an encoder by those of another [0].

    The strategies are ``"most"`` and ``"least"`` (the layers that memorise most or
    least, by calibrated Delta LayerMem), and ``"random"``. This is one trial: its
    intervals contain the effect of exchanging these layers of these encoders, over other
    test images of the same kind. For intervals over encoders, pool the trials of
    several with ``lightly_memloc.estimation.pool_trials``.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder; it is not changed.
        donor: An encoder of the same architecture, such as the reference encoder.
        layer_mem: LayerMem of the encoder.
        task: The labelled images of the probe.
        n_layers: Number of layers to exchange.
        probe: Name of the probe.
        seed: Random seed of the random layers and the probe.
        device: ``"auto"`` or a torch device.

    Returns:
        The result. ``to_pandas()`` has one row per strategy.

    Raises:
        MemorizationError: If the encoders differ in architecture, there are fewer
            layers with weights than ``n_layers``, the probe is unknown, or
            ``layer_mem`` lacks the estimates that layers are ranked by.
    """
    test, example = probe_named(probe), _example(model, task)
    ranked, ordered = _layers(model, layer_mem, task, n_layers)

    baseline = test(model, task, seed, device)
    drawn = np.random.default_rng(seed).permutation(ordered)[:n_layers].tolist()
    trials: list[_Trial] = []
    for strategy, layers in (
        ("most", ranked[:n_layers]),
        ("least", ranked[-n_layers:]),
        ("random", drawn),
    ):
        mixed = exchange_layers(model, donor, layers, example)
        accuracy = test(mixed, task, seed, device)
        trials.append((strategy, seed, accuracy, baseline, ", ".join(layers)))
    settings = {"intervention": "exchange", "layers": n_layers, "probe": probe}
    return _summarized(trials, task, settings)


def _summarized(
    trials: Sequence[_Trial],
    task: ProbeTask,
    settings: Mapping[str, Any],
    units: pd.DataFrame | None = None,
) -> InterventionResult:
    columns = ["strategy", "trial", "accuracy", "baseline", "where"]
    rows = [
        (strategy, seed, float(after.value), float(before.value), where)
        for strategy, seed, after, before, where in trials
    ]
    answers: dict[int, dict[str, Any]] = {}
    for strategy, seed, after, before, _ in trials:
        shared = {"trial": seed, "index": task.test, "baseline": before.correct}
        of_trial = answers.setdefault(seed, shared)
        if after is not before:
            of_trial[strategy] = after.correct
    return summarize_trials(
        pd.DataFrame(rows, columns=columns),
        pd.concat([pd.DataFrame(of_trial) for of_trial in answers.values()]),
        {**settings, "unlabelled": task.unlabelled},
        units,
    )


def _example(model: nn.Module, task: ProbeTask) -> Tensor:
    images: Tensor = next(iter(task.loader(task.test[:2])))[0]
    return images.to(device_of(model))


def _layers(
    model: nn.Module, layer_mem: LayerMemResult, task: ProbeTask, n_layers: int
) -> tuple[list[str], list[str]]:
    """Layers with weights, ranked by memorisation and in forward order."""
    with leave_no_trace([model], device_of(model)), torch.no_grad():
        divided = segments(model, _example(model, task))
    ordered = [layer for layer, entries in divided.items() if entries]
    if not 0 < n_layers <= len(ordered):
        raise MemorizationError(
            f"Expected 1 to {len(ordered)} layers, the number of layers with weights, "
            f"got {n_layers}."
        )
    ranked = [layer for layer in ranked_layers(layer_mem) if layer in ordered]
    return ranked, ordered
