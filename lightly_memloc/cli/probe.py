"""The probe command."""

from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    AllowPartial,
    BatchSize,
    Checkpoint,
    Device,
    InputSize,
    Json,
    Model,
    Prefix,
    Reference,
    ResultOut,
    Seed,
    Source,
    SplitFile,
    TrustCheckpoint,
    Workers,
)
from lightly_memloc.cli.output import save_and_show


def probe(
    source: Source,
    probe: Annotated[
        list[str] | None,
        typer.Option(
            help="logistic, knn, linear or finetune; may be repeated. \\[default: "
            "logistic and knn, which take a pass over the images each]"
        ),
    ] = None,
    model: Model = None,
    checkpoint: Checkpoint = None,
    prefix: Prefix = None,
    allow_partial: AllowPartial = False,
    trust_checkpoint: TrustCheckpoint = False,
    reference: Reference = None,
    split: SplitFile = None,
    input_size: InputSize = None,
    batch_size: BatchSize = 256,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """Test what an encoder is worth: how well its features tell classes of images.

    Probes learn from the images of all roles but external, and are tested on those.
    """
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.probes import measure_probes

    subject = Subject.resolve(
        source,
        model,
        checkpoint,
        reference,
        split,
        input_size,
        prefix=prefix,
        allow_partial=allow_partial,
        trust_checkpoint=trust_checkpoint,
    )
    encoders = {"f": subject.f} | ({} if subject.g is None else {"g": subject.g})
    task = subject.probe_task(batch_size, num_workers)
    result = measure_probes(encoders, task, probe or ("logistic", "knn"), seed, device)
    save_and_show(result, as_json, out or (subject.folder and subject.folder / "probe"))
