"""The tune-unit command."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    Device,
    Json,
    Layers,
    ResultOut,
    Seed,
    Views,
    Workers,
)


def tune_unit(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder made by `train`.")
    ],
    layers: Layers = None,
    n_units: Annotated[
        int, typer.Option("--n-units", min=1, help="How many units of each layer.")
    ] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training a unit.")] = 400,
    learning_rate: Annotated[
        float,
        typer.Option(help="Learning rate, in units of the mean absolute weight."),
    ] = 0.02,
    views: Views = 10,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """Tune single units to single images, to see whether UnitMem follows."""
    from lightly_memloc.cli.output import save_and_show
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.interventions import measure_unit_tuning

    subject = Subject.resolve(source)
    result = measure_unit_tuning(
        subject.f,
        subject.study(views, seed),
        layers=layers or "auto",
        n_units=n_units,
        steps=steps,
        learning_rate=learning_rate,
        num_workers=num_workers,
        device=device,
    )
    save_and_show(result, as_json, out or Path(source) / "tune-unit")
