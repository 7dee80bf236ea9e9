"""Commands that measure an encoder: layer-mem, unit-mem, class-mem, measure, probe."""

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightly_memloc.cli.encoder import EncoderGroup, PairGroup
from lightly_memloc.cli.options import (
    BatchGroup,
    OutputGroup,
    PassGroup,
    ResumableGroup,
    Seed,
    Source,
    ViewsGroup,
)
from lightly_memloc.cli.output import save_and_show
from lightly_memloc.errors import MemorizationError

if TYPE_CHECKING:
    from lightly_memloc.cli.subject import Subject

_PROBING = BatchGroup(batch_size=256)


class Rest(str, Enum):
    """Average over the other images."""

    mean = "mean"
    median = "median"


def layer_mem(
    source: Source,
    encoder: PairGroup,
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
) -> None:
    """Measure how much each layer memorises, and which images.

    Compares the candidates with independent and external images, layer by layer.
    Without a reference encoder, only the alignment gap is measured.
    """
    if encoder.model is not None and encoder.split is None:
        raise MemorizationError(
            "layer-mem needs --split: a file with the images that the encoder was "
            "trained on and the images that it was not."
        )
    subject = encoder.resolve(source)
    _measure("layer_mem", subject, views, execution, output)


def unit_mem(
    source: Source,
    encoder: EncoderGroup,
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
    rest: Annotated[
        Rest, typer.Option(help="Average over the other images.")
    ] = Rest.mean,
) -> None:
    """Measure how strongly each unit is tied to a single image, and to which.

    With a split, candidates are the members and external images the holdout. Without
    one, all images are measured, and memorisation cannot be told apart from
    selectivity.
    """
    subject = encoder.resolve(source)
    _measure("unit_mem", subject, views, execution, output, rest=rest.value)


def class_mem(
    source: Source,
    encoder: EncoderGroup,
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
) -> None:
    """Measure how strongly each unit is tied to a class of images.

    With a split, the candidates are measured; without one, all images.
    """
    _measure("class_mem", encoder.resolve(source), views, execution, output)


def measure(
    evaluator: Annotated[
        str,
        typer.Argument(
            metavar="EVALUATOR",
            help="layer_mem, unit_mem, class_mem, or an evaluator of another package.",
        ),
    ],
    source: Source,
    encoder: PairGroup,
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
) -> None:
    """Measure with any evaluator by name, including those of other packages."""
    _measure(evaluator, encoder.resolve(source), views, execution, output)


def probe(
    source: Source,
    encoder: PairGroup,
    output: OutputGroup,
    execution: BatchGroup = _PROBING,
    probe: Annotated[
        list[str] | None,
        typer.Option(
            help="Probe to train: logistic, knn, linear or finetune. May be repeated. "
            "\\[default: logistic and knn, each of which takes one pass over the images]"
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Evaluate frozen features with probes.

    Probes are trained on the shared, candidate and independent images, and tested on
    the external images. The probe `finetune` trains the encoder as well.
    """
    from lightly_memloc.probes import measure_probes

    subject = encoder.resolve(source)
    encoders = {"f": subject.f} | ({} if subject.g is None else {"g": subject.g})
    result = measure_probes(
        encoders,
        subject.probe_task(execution.batch_size, execution.num_workers),
        probe or ("logistic", "knn"),
        seed,
        execution.device,
    )
    folder = output.out or (subject.folder and subject.folder / "probe")
    save_and_show(result, output.as_json, folder)


def _measure(
    name: str,
    subject: "Subject",
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
    **options: Any,
) -> None:
    """Measure a subject, save the result and show it.

    Args:
        name: The evaluator's name.
        subject: The encoders and images to measure.
        views: Layers and views.
        execution: How the pass runs.
        output: Where the result goes.
        options: The evaluator's own arguments.

    Raises:
        MemorizationError: If there is nothing to resume, or the measurement fails.
    """
    from lightly_memloc.evaluators import EVALUATORS, Study
    from lightly_memloc.evaluators import measure as run
    from lightly_memloc.evaluators.evaluator import result_folder

    folder = output.out or (subject.folder and subject.folder / result_folder(name))
    study = Study(
        subject.f,
        subject.dataset,
        subject.transform,
        subject.g,
        subject.split,
        layers=views.layers or "auto",
        n_views=views.views,
        seed=views.seed,
        batch_size=execution.batch_size,
        num_workers=execution.num_workers,
        skip_unreadable=execution.skip_unreadable,
        state_file=_state_file(folder, output.resume),
    )
    result = run(EVALUATORS[name].from_study(study, **options), execution.device)
    if subject.source:
        result = replace(result, settings=result.settings | {"source": subject.source})
    save_and_show(result, output.as_json, folder)


def _state_file(folder: Path | None, resume: bool) -> Path | None:
    if folder is None:
        if resume:
            raise MemorizationError(
                "--resume needs --out: the folder that contains the state of the "
                "interrupted measurement."
            )
        return None
    state_file = folder / "state.pt"
    if resume and not state_file.is_file():
        raise MemorizationError(
            f"Nothing to resume: {folder} contains no interrupted measurement."
        )
    if not resume:
        state_file.unlink(missing_ok=True)
    return state_file
