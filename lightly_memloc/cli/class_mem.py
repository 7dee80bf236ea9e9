"""The class-mem command."""

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


def class_mem(
    source: Source,
    model: Model = None,
    checkpoint: Checkpoint = None,
    prefix: Prefix = None,
    allow_partial: AllowPartial = False,
    trust_checkpoint: TrustCheckpoint = False,
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
    """Measure which units are tied to classes of images.

    With a split, candidates are measured; without, all images.
    """
    from lightly_memloc.cli.measuring import measure_and_show
    from lightly_memloc.cli.subject import Subject

    subject = Subject.resolve(
        source,
        model,
        checkpoint,
        None,
        split,
        input_size,
        prefix=prefix,
        allow_partial=allow_partial,
        trust_checkpoint=trust_checkpoint,
    )
    measure_and_show(
        "class_mem",
        subject,
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
