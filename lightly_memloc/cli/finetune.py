"""The finetune command."""

from typing import TYPE_CHECKING, Annotated

import typer

from lightly_memloc.cli.options import (
    Device,
    Json,
    NumLayers,
    ResultOut,
    RunOrRuns,
    Seed,
    Trials,
    Workers,
)

if TYPE_CHECKING:
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.results import InterventionResult


def finetune(
    source: RunOrRuns,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="A folder of labelled images to tune on, a fifth of each class held out "
            "for testing. \\[default: the run's own, tested on the external ones]",
        ),
    ] = None,
    n_layers: NumLayers = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of fine-tuning.")] = 30,
    learning_rate: Annotated[
        float, typer.Option(help="Learning rate for a batch of 256.")
    ] = 0.05,
    num_workers: Workers = 0,
    trials: Trials = 5,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """Fine-tune the most memorising layers, the last, random ones, all, or none."""
    from lightly_memloc.cli.intervening import intervene_and_show, layer_mem_of
    from lightly_memloc.data import open_dataset
    from lightly_memloc.interventions import measure_fine_tuning
    from lightly_memloc.probes import ProbeTask
    from lightly_memloc.training import Runs

    seeds = 1 if Runs.is_runs(source) else trials

    def task_of(subject: "Subject") -> ProbeTask:
        if data is None:
            return subject.probe_task(256, num_workers)
        return ProbeTask.of_dataset(
            open_dataset(data),
            subject.plain_transform,
            seed,
            num_workers=num_workers,
        )

    def intervene(subject: "Subject", first: int) -> "InterventionResult":
        return measure_fine_tuning(
            subject.f,
            layer_mem_of(subject, num_workers, device),
            task_of(subject),
            n_layers=n_layers,
            epochs=epochs,
            learning_rate=learning_rate,
            seeds=range(first, first + seeds),
            device=device,
        )

    intervene_and_show(source, "finetune", intervene, seed, out, as_json)
