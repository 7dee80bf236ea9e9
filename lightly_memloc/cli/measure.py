"""The measure command: any evaluator, by its name."""

from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    AllowPartial,
    BatchSize,
    Checkpoint,
    Device,
    InputSize,
    Json,
    Layers,
    Model,
    Prefix,
    Reference,
    ResultOut,
    Resume,
    Seed,
    SkipUnreadable,
    Source,
    SplitFile,
    TrustCheckpoint,
    Views,
    Workers,
)


def measure(
    evaluator: Annotated[
        str,
        typer.Argument(
            metavar="EVALUATOR",
            help="unit_mem, layer_mem, class_mem, or an evaluator of another package.",
        ),
    ],
    source: Source,
    model: Model = None,
    checkpoint: Checkpoint = None,
    prefix: Prefix = None,
    allow_partial: AllowPartial = False,
    trust_checkpoint: TrustCheckpoint = False,
    reference: Reference = None,
    split: SplitFile = None,
    input_size: InputSize = None,
    layers: Layers = None,
    views: Views = 10,
    batch_size: BatchSize = 64,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    resume: Resume = False,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Measure with an evaluator by its name, those of other packages included."""
    from lightly_memloc.cli.measuring import measure_and_show
    from lightly_memloc.cli.subject import Subject

    measure_and_show(
        evaluator,
        Subject.resolve(
            source,
            model,
            checkpoint,
            reference,
            split,
            input_size,
            prefix=prefix,
            allow_partial=allow_partial,
            trust_checkpoint=trust_checkpoint,
        ),
        layers=layers,
        views=views,
        batch_size=batch_size,
        num_workers=num_workers,
        seed=seed,
        device=device,
        out=out,
        resume=resume,
        skip_unreadable=skip_unreadable,
        as_json=as_json,
    )
