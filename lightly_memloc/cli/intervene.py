"""Commands that change an encoder: prune, finetune, exchange, tune-unit, curate."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lightly_memloc.cli.encoder import EncoderGroup, Subject
from lightly_memloc.cli.interruption import kept_of_trainings, resumable
from lightly_memloc.cli.options import (
    DeviceGroup,
    MovedData,
    NumLayers,
    OutputGroup,
    ProbeName,
    RunOrRuns,
    Seed,
    Trials,
    Views,
    ViewsGroup,
    finite,
)
from lightly_memloc.cli.output import save_and_show
from lightly_memloc.errors import MemorizationError, MemorizationWarning

if TYPE_CHECKING:
    from lightly_memloc.probes import ProbeTask
    from lightly_memloc.results import (
        InterventionResult,
        LayerMemResult,
        Result,
        SSLMemRunsResult,
    )
    from lightly_memloc.training import Run, Runs

R = TypeVar("R", bound="Result")


def prune(
    source: RunOrRuns,
    views: ViewsGroup,
    execution: DeviceGroup,
    output: OutputGroup,
    amount: Annotated[
        float,
        typer.Option(
            callback=finite,
            help="Units to prune: a fraction of the live units if below 1, otherwise "
            "a number.",
        ),
    ] = 0.1,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole", help="Apply --amount across the encoder, not to each layer."
        ),
    ] = False,
    probe: ProbeName = "logistic",
    trials: Trials = 5,
    data: MovedData = None,
) -> None:
    """Prune units with the highest, the lowest or random UnitMem, and probe the encoder.

    With several runs, each run is a trial and intervals are over trainings and test
    images. With one run, intervals are over the random seeds of views, random units and
    probe, and over test images.
    """
    from lightly_memloc.interventions import measure_pruning
    from lightly_memloc.probes import ProbeTask

    def intervene(subject: Subject, seeds: range) -> "InterventionResult":
        return measure_pruning(
            subject.f,
            subject.study,
            ProbeTask.of_study(subject.study, num_workers=execution.num_workers),
            layers=views.layers or "auto",
            amount=amount,
            per_layer=not whole,
            probe=probe,
            seeds=seeds,
            **asdict(execution),
        )

    _intervene(
        "prune", source, data, intervene, views.seed, trials, output, views.views
    )


def finetune(
    source: RunOrRuns,
    execution: DeviceGroup,
    output: OutputGroup,
    labelled: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="A folder of labelled images to fine-tune on; a fifth of each class is "
            "held out for testing. \\[default: the run's images, tested on the external "
            "ones]",
        ),
    ] = None,
    n_layers: NumLayers = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of fine-tuning.")] = 30,
    learning_rate: Annotated[
        float,
        typer.Option(callback=finite, help="Learning rate at a batch size of 256."),
    ] = 0.05,
    trials: Trials = 5,
    seed: Seed = 0,
    data: MovedData = None,
) -> None:
    """Fine-tune layers of f: the most memorising, the last, random ones, all or none."""
    from lightly_memloc.data import open_dataset
    from lightly_memloc.interventions import measure_fine_tuning
    from lightly_memloc.probes import ProbeTask

    def task_of(subject: Subject) -> "ProbeTask":
        if labelled is None:
            return ProbeTask.of_study(subject.study, num_workers=execution.num_workers)
        assert subject.study.plain_transform is not None
        return ProbeTask.of_dataset(
            open_dataset(labelled),
            subject.study.plain_transform,
            seed=seed,
            num_workers=execution.num_workers,
        )

    def intervene(subject: Subject, seeds: range) -> "InterventionResult":
        return measure_fine_tuning(
            subject.f,
            _layer_mem_of(subject, execution),
            task_of(subject),
            n_layers=n_layers,
            epochs=epochs,
            learning_rate=learning_rate,
            seeds=seeds,
            device=execution.device,
        )

    _intervene("finetune", source, data, intervene, seed, trials, output)


def exchange(
    source: RunOrRuns,
    execution: DeviceGroup,
    output: OutputGroup,
    n_layers: NumLayers = 1,
    probe: ProbeName = "logistic",
    seed: Seed = 0,
    data: MovedData = None,
) -> None:
    """Replace layers of f by those of g: the most memorising, the least or random ones.

    Each mixed encoder is probed. A single run is one trial, with intervals over test
    images; several runs give intervals over trainings, too.
    """
    from lightly_memloc.interventions import measure_exchange
    from lightly_memloc.probes import ProbeTask

    def intervene(subject: Subject, seeds: range) -> "InterventionResult":
        assert subject.g is not None
        return measure_exchange(
            subject.f,
            subject.g,
            _layer_mem_of(subject, execution),
            ProbeTask.of_study(subject.study, num_workers=execution.num_workers),
            n_layers=n_layers,
            probe=probe,
            seed=seeds[0],
            device=execution.device,
        )

    _intervene("exchange", source, data, intervene, seed, 1, output)


def tune_unit(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder written by `train`.")
    ],
    views: ViewsGroup,
    execution: DeviceGroup,
    output: OutputGroup,
    n_units: Annotated[
        int, typer.Option("--n-units", min=1, help="Units to tune in each layer.")
    ] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Training steps per unit.")] = 400,
    learning_rate: Annotated[
        float,
        typer.Option(
            callback=finite,
            help="Learning rate, relative to the mean absolute weight.",
        ),
    ] = 0.02,
    data: MovedData = None,
) -> None:
    """Tune single units to single images, and test whether UnitMem follows."""
    from lightly_memloc.interventions import measure_unit_tuning

    subject = EncoderGroup(data=data).resolve(source, views.views, views.seed)
    result = measure_unit_tuning(
        subject.f,
        subject.study,
        layers=views.layers or "auto",
        n_units=n_units,
        steps=steps,
        learning_rate=learning_rate,
        **asdict(execution),
    )
    save_and_show(
        subject.named(result), output.as_json, output.out or Path(source) / "tune-unit"
    )


def curate(
    source: RunOrRuns,
    execution: DeviceGroup,
    output: OutputGroup,
    fdr: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="False discovery rate of the list: the share of images that may be "
            "listed by chance. \\[default: 0.1]",
        ),
    ] = None,
    amount: Annotated[
        float | None,
        typer.Option(
            "--amount",
            "--top-k",
            callback=finite,
            help="List this many images instead, memorised or not: a fraction of the "
            "scored ones if below 1, otherwise a number.",
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train f again without these images, and without as many random ones, "
            "and compare.",
        ),
    ] = False,
    probe: ProbeName = "logistic",
    views: Views = 10,
    seed: Seed = 0,
    data: MovedData = None,
) -> None:
    """List the most memorised images and, with --retrain, train again without them.

    By default, images are listed whose memorisation is detected at a false discovery
    rate of 10%; there may be none. With several runs, images are ranked by their SSLMem
    over runs. A saved result of `layer-mem` or `ssl-mem` is used if there is one. The files memorized.txt and
    kept.txt list file names, one per line, as LightlyDataset(filenames=...) takes them.
    """
    from lightly_memloc import interventions
    from lightly_memloc.probes import ProbeTask
    from lightly_memloc.training import Run, Runs

    folder = output.out or Path(source) / ("retrain" if retrain else "curate")
    if Runs.is_runs(source):
        runs = Runs(source, data)
        if retrain:
            raise MemorizationError(
                f"{source} is a folder of runs. --retrain takes a single run, such as "
                f"{runs.folder / runs.names[0]}."
            )
        result = interventions.curate(
            _ssl_mem_of(runs, views, execution), amount, fdr=fdr
        )
        dataset = runs.dataset()
    else:
        subject = EncoderGroup(data=data).resolve(source, views)
        dataset = subject.study.dataset
        result = interventions.curate(
            _layer_mem_of(subject, execution), amount, fdr=fdr
        )
        if retrain:
            task = ProbeTask.of_study(subject.study, num_workers=execution.num_workers)
            with resumable(partial(kept_of_trainings, folder)):
                result = interventions.retrain_without(
                    Run(source, data),
                    result,
                    task,
                    folder,
                    probe=probe,
                    n_views=views,
                    seed=seed,
                    **asdict(execution),
                )
    interventions.write_filename_lists(result, dataset, folder)
    save_and_show(result, output.as_json, folder)


def _intervene(
    name: str,
    source: str,
    data: str | None,
    intervene: "Callable[[Subject, range], InterventionResult]",
    seed: int,
    trials: int,
    output: OutputGroup,
    n_views: int = 10,
) -> None:
    """Intervene in the encoder of one run or of each of several, and show the result.

    Args:
        name: Name of the intervention and of the result's folder.
        source: A run folder or a folder of runs.
        data: Where the images are now, if they were moved.
        intervene: Intervenes in a subject, once for each random seed.
        seed: The first random seed.
        trials: Trials on a single run; each of several runs is one trial.
        output: Where the result goes.
        n_views: Views per image.

    Raises:
        MemorizationError: If the source is neither a run nor a folder of runs.
    """
    from lightly_memloc.estimation import pool_trials
    from lightly_memloc.training import Runs

    def of(folder: Path | str, seeds: range) -> "InterventionResult":
        subject = EncoderGroup(data=data).resolve(str(folder), n_views)
        return subject.named(intervene(subject, seeds))

    if Runs.is_runs(source):
        result = pool_trials(
            {
                run.folder.name: of(run.folder, range(number, number + 1))
                for number, run in enumerate(Runs(source, data).distinct(), start=seed)
            }
        )
    else:
        result = of(source, range(seed, seed + trials))
    save_and_show(result, output.as_json, output.out or Path(source) / name)


def _layer_mem_of(subject: Subject, execution: DeviceGroup) -> "LayerMemResult":
    """Return the saved LayerMem of a run, or measure it."""
    from lightly_memloc.evaluators import LayerMemEvaluator
    from lightly_memloc.results import LayerMemResult
    from lightly_memloc.training import Run

    assert subject.folder is not None
    run = Run(subject.folder, subject.data)
    measured = _saved(run, "layer-mem", LayerMemResult)
    return (
        measured
        or LayerMemEvaluator(
            subject.f, subject.study, subject.g, **asdict(execution)
        ).run()
    )


def _ssl_mem_of(runs: "Runs", views: int, execution: DeviceGroup) -> "SSLMemRunsResult":
    """Return the saved SSLMem over runs, or measure it."""
    from lightly_memloc.results import SSLMemRunsResult
    from lightly_memloc.training import measure_ssl_mem_runs

    measured = _saved(runs, "ssl-mem", SSLMemRunsResult)
    return measured or measure_ssl_mem_runs(
        runs.folder,
        n_views=views,
        data=runs.data,
        **asdict(execution),
    )


def _saved(study: "Run | Runs", name: str, result_class: type[R]) -> R | None:
    """Return a saved result, unless there is none or something changed since."""
    from lightly_memloc.results import find_result
    from lightly_memloc.training import changed_in_words, changes_since

    measured = find_result(study.folder / name, result_class)
    changed = [] if measured is None else changes_since(measured, study)
    if not changed:
        return measured
    warnings.warn(
        f"The result in {study.folder / name} is of an earlier state: "
        f"{changed_in_words(changed)}. It is not used, and what is needed is measured "
        "again.",
        MemorizationWarning,
        stacklevel=2,
    )
    return None
