"""The layer-mem command."""

from pathlib import Path
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


def layer_mem(
    source: Source,
    model: Model = None,
    checkpoint: Checkpoint = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the reference encoder, trained without the candidates. "
            "Without it the alignment gap alone is measured."
        ),
    ] = None,
    split: SplitFile = None,
    input_size: InputSize = None,
    layers: Layers = None,
    views: Views = 10,
    batch_size: BatchSize = 64,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Measure in which layers an encoder memorised its candidates, and which of them."""
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.evaluators import measure_layer_mem

    subject = Subject.resolve(source, model, checkpoint, reference, split, input_size)
    if subject.split is None:
        raise MemorizationError(
            "layer-mem needs --split: which images were trained on, and which were not."
        )
    result = measure_layer_mem(
        subject.f,
        subject.g,
        subject.dataset,
        subject.split,
        subject.transform,
        layers or "auto",
        views,
        batch_size,
        num_workers,
        seed,
        device,
        skip_unreadable=skip_unreadable,
    )
    folder = out or (subject.folder and subject.folder / "layer-mem")
    save_and_show(result, as_json, folder)
