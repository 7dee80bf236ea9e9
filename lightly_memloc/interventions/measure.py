"""Measuring what interventions do to an encoder's accuracy."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

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
from lightly_memloc.probes import ProbeTask, fine_tune, probe_named
from lightly_memloc.results import InterventionResult, LayerMemResult
from lightly_memloc.runtime import PassArguments, PassOptions, leave_no_trace

_Row = tuple[str, int, float, float, str]


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
    """Measure what pruning units by their UnitMem does to an encoder's accuracy [0].

    In each trial UnitMem is measured with views of its own seed, units are chosen by
    it, pruned, and the probe is trained and tested anew. The model ends as it began.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        study: The images to measure UnitMem on: its members. Each trial has views of its
            own seed.
        task: The labelled images of the probe.
        layers: Layers whose units are pruned.
        amount: How many units: a fraction of the live ones below 1, or a number.
        per_layer: Whether the amount is per layer, or across the encoder.
        strategies: Units of the highest or lowest UnitMem, or random ones.
        probe: Name of the probe.
        seeds: Random seeds of views, random units and probe, one per trial.
        options: How the pass over the images runs, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result; ``to_pandas()`` has one row per strategy, ``units_to_pandas()`` one
        row per trial and pruned unit.

    Raises:
        MemorizationError: If a layer, strategy or probe is not known, or the amount
            does not fit.
    """
    test, example = probe_named(probe), _example(model, task)
    device = str(PassOptions(**options).device)
    members = study.without_holdout()
    rows: list[_Row] = []
    chosen: list[tuple[str, int, str, int]] = []
    for seed in seeds:
        baseline = float(test(model, task, seed, device).value)
        unit_mem = UnitMemEvaluator(
            model, replace(members, seed=seed), layers=layers, **options
        ).run()
        for strategy in strategies:
            units = select_units(unit_mem, strategy, amount, per_layer, seed)
            pruned = prune_units(model, units, example)
            try:
                accuracy = float(test(model, task, seed, device).value)
            finally:
                pruned.undo()
            listed = [(layer, unit) for layer, of in units.items() for unit in of]
            rows.append((strategy, seed, accuracy, baseline, f"{len(listed)} units"))
            chosen.extend((strategy, seed, *unit) for unit in listed)
    settings = {"intervention": "prune", "amount": amount, "per_layer": per_layer}
    return summarize_trials(
        _trials(rows),
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
    """Measure accuracy after fine-tuning chosen layers, all, or the classifier alone [0].

    The strategies: ``"most"``, the layers that memorise most by calibrated Delta
    LayerMem; ``"last"``, the last ones; ``"random"`` ones; ``"all"``; and ``"head"``,
    the classifier alone, which is the baseline of each trial.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder; stays as it is.
        layer_mem: LayerMem of the encoder.
        task: The labelled images.
        n_layers: How many layers are tuned.
        epochs: Epochs of training.
        learning_rate: Learning rate for a batch of 256.
        seeds: Random seeds of the classifier, the order and the random layers, one per
            trial.
        device: ``"auto"`` or a torch device.

    Raises:
        MemorizationError: If there are fewer layers with weights than asked for, or
            LayerMem lacks what layers are ranked by.
    """
    ranked, ordered = _layers(model, layer_mem, task, n_layers)

    def tuned(layers: str | Sequence[str], seed: int) -> float:
        result = fine_tune(model, task, layers, seed, device, epochs, learning_rate)
        return float(result.accuracy.value)

    def rows() -> Iterator[_Row]:
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
    return summarize_trials(_trials(rows()), settings)


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
    """Measure accuracy after taking layers of an encoder from another [0].

    The strategies: the layers that memorise ``"most"`` or ``"least"`` by calibrated
    Delta LayerMem, and ``"random"`` ones. That is one trial; intervals come from those
    of several encoders, with ``lightly_memloc.estimation.pool_trials``.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder; stays as it is.
        donor: An encoder of the same architecture, such as the reference encoder.
        layer_mem: LayerMem of the encoder.
        task: The labelled images of the probe.
        n_layers: How many layers are exchanged.
        probe: Name of the probe.
        seed: Random seed of the layers and the probe.
        device: ``"auto"`` or a torch device.

    Raises:
        MemorizationError: If the encoders differ in architecture, there are fewer
            layers with weights than asked for, the probe is unknown, or LayerMem lacks
            what layers are ranked by.
    """
    test, example = probe_named(probe), _example(model, task)
    ranked, ordered = _layers(model, layer_mem, task, n_layers)

    baseline = float(test(model, task, seed, device).value)
    drawn = np.random.default_rng(seed).permutation(ordered)[:n_layers].tolist()
    rows = []
    for strategy, layers in (
        ("most", ranked[:n_layers]),
        ("least", ranked[-n_layers:]),
        ("random", drawn),
    ):
        mixed = exchange_layers(model, donor, layers, example)
        accuracy = float(test(mixed, task, seed, device).value)
        rows.append((strategy, seed, accuracy, baseline, ", ".join(layers)))
    settings = {"intervention": "exchange", "layers": n_layers, "probe": probe}
    return summarize_trials(_trials(rows), settings)


def _trials(rows: Iterable[_Row]) -> pd.DataFrame:
    columns = ["strategy", "trial", "accuracy", "baseline", "where"]
    return pd.DataFrame(rows, columns=columns)


def _example(model: nn.Module, task: ProbeTask) -> Tensor:
    images: Tensor = next(iter(task.loader(task.test[:2])))[0]
    return images.to(device_of(model))


def _layers(
    model: nn.Module, layer_mem: LayerMemResult, task: ProbeTask, n_layers: int
) -> tuple[list[str], list[str]]:
    """Layers with weights, by memorisation and in forward order."""
    with leave_no_trace([model], device_of(model)), torch.no_grad():
        divided = segments(model, _example(model, task))
    ordered = [layer for layer, entries in divided.items() if entries]
    if not 0 < n_layers <= len(ordered):
        raise MemorizationError(
            f"Expected 1 to {len(ordered)} layers, as many as have weights, got "
            f"{n_layers}."
        )
    ranked = [layer for layer in ranked_layers(layer_mem) if layer in ordered]
    return ranked, ordered
