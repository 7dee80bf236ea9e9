"""The prune command."""

from typing import TYPE_CHECKING, Annotated

import typer

from lightly_memloc.cli.options import (
    Device,
    Json,
    Layers,
    ProbeName,
    ResultOut,
    RunOrRuns,
    Seed,
    Trials,
    Views,
    Workers,
)

if TYPE_CHECKING:
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.results import InterventionResult


def prune(
    source: RunOrRuns,
    amount: Annotated[
        float,
        typer.Option(
            help="A fraction of the live units below 1, or a number of units."
        ),
    ] = 0.1,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="So many over the whole encoder, not per layer."),
    ] = False,
    layers: Layers = None,
    probe: ProbeName = "logistic",
    views: Views = 10,
    num_workers: Workers = 0,
    trials: Trials = 5,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """Prune units of the highest, the lowest or random UnitMem, and probe the encoder.

    With several runs each is a trial, and intervals are over trainings; with one, over
    the seeds of views, random units and probe.
    """
    from lightly_memloc.cli.intervening import intervene_and_show
    from lightly_memloc.interventions import measure_pruning
    from lightly_memloc.training import Runs

    seeds = 1 if Runs.is_runs(source) else trials

    def intervene(subject: "Subject", first: int) -> "InterventionResult":
        assert subject.split is not None
        return measure_pruning(
            subject.f,
            subject.study(views),
            subject.probe_task(256, num_workers),
            layers=layers or "auto",
            amount=amount,
            per_layer=not whole,
            probe=probe,
            seeds=range(first, first + seeds),
            num_workers=num_workers,
            device=device,
        )

    intervene_and_show(source, "prune", intervene, seed, out, as_json)
