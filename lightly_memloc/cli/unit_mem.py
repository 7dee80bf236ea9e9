"""The unit-mem command."""

from enum import Enum
from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    BatchSize,
    Checkpoint,
    Device,
    InputSize,
    Json,
    Layers,
    Model,
    ResultOut,
    Seed,
    SkipUnreadable,
    Source,
    SplitFile,
    Views,
    Workers,
)
from lightly_memloc.cli.output import save_and_show


class Rest(str, Enum):
    """The average over the other images."""

    mean = "mean"
    median = "median"


def unit_mem(
    source: Source,
    model: Model = None,
    checkpoint: Checkpoint = None,
    split: SplitFile = None,
    input_size: InputSize = None,
    layers: Layers = None,
    rest: Annotated[
        Rest, typer.Option(help="The average over the other images.")
    ] = Rest.mean,
    views: Views = 10,
    batch_size: BatchSize = 64,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Measure which units are tied to single images, and to which.

    With a split, candidates are the members and external images the holdout. Without,
    all images are measured and nothing tells memorisation from selectivity.
    """
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.evaluators import measure_unit_mem

    subject = Subject.resolve(source, model, checkpoint, None, split, input_size)
    result = measure_unit_mem(
        subject.f,
        subject.dataset,
        subject.transform,
        subject.split.candidate if subject.split else None,
        subject.split.external if subject.split else None,
        layers or "auto",
        views,
        batch_size,
        num_workers,
        seed,
        device,
        rest.value,
        skip_unreadable=skip_unreadable,
    )
    folder = out or (subject.folder and subject.folder / "unit-mem")
    save_and_show(result, as_json, folder)
