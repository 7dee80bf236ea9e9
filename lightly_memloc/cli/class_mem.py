"""The class-mem command."""

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


def class_mem(
    source: Source,
    model: Model = None,
    checkpoint: Checkpoint = None,
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
    """Measure which units are tied to classes of images.

    With a split, candidates are measured; without, all images.
    """
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.evaluators import measure_class_mem

    subject = Subject.resolve(source, model, checkpoint, None, split, input_size)
    result = measure_class_mem(
        subject.f,
        subject.dataset,
        subject.transform,
        subject.split.candidate if subject.split else None,
        layers or "auto",
        views,
        batch_size,
        num_workers,
        seed,
        device,
        skip_unreadable=skip_unreadable,
    )
    folder = out or (subject.folder and subject.folder / "class-mem")
    save_and_show(result, as_json, folder)
