"""Commands that measure an encoder: layer-mem, unit-mem, class-mem, measure, probe."""

from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lightly_memloc.cli.encoder import EncoderGroup, PairGroup
from lightly_memloc.cli.interruption import kept_of_measurement, resumable
from lightly_memloc.cli.options import (
    BatchGroup,
    OutputGroup,
    PassGroup,
    ResumableGroup,
    Seed,
    Source,
    ViewsGroup,
)
from lightly_memloc.cli.output import print_notice, save_and_show
from lightly_memloc.errors import MemorizationError

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
    no_covariates: Annotated[
        bool,
        typer.Option(
            "--no-covariates",
            help="Without a reference encoder: leave out the two untrained encoders, "
            "which explain how hard each image is to align but take as long as the "
            "encoder each, and the adjusted gap with them.",
        ),
    ] = False,
    matched: Annotated[
        bool,
        typer.Option(
            "--matched",
            help="Without a reference encoder: compare only members and held-out images "
            "that are alike. For sets that differ in kind.",
        ),
    ] = False,
) -> None:
    """Measure how much each layer memorises, and which images.

    Compares the candidates with independent and external images, layer by layer.
    Without a reference encoder, members are compared with images that the encoder never
    saw, by the alignment gap and the adjusted gap.
    """
    encoder.require_split("layer-mem")
    options: dict[str, Any] = {"matched": matched}
    if no_covariates:
        options["covariates"] = None
    _measure("layer_mem", source, encoder, views, execution, output, **options)


def unit_mem(
    source: Source,
    encoder: PairGroup,
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
    rest: Annotated[
        Rest, typer.Option(help="Average over the other images.")
    ] = Rest.mean,
) -> None:
    """Measure how strongly each unit is tied to a single image, and to which.

    In a run, or with a reference encoder, candidates are compared with independent
    images, on which the reference encoder was trained. With a split only, they are
    compared with external images. Without a split, all images are measured, and
    memorisation cannot be told apart from selectivity.
    """
    if encoder.reference is not None:
        encoder.require_split("unit-mem --reference")
    _measure("unit_mem", source, encoder, views, execution, output, rest=rest.value)


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
    _measure("class_mem", source, encoder, views, execution, output)


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
    _measure(evaluator, source, encoder, views, execution, output)


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
    from lightly_memloc.probes import ProbeTask, measure_probes

    encoder.require_split("probe")
    subject = encoder.resolve(source)
    result = measure_probes(
        {"f": subject.f} | ({} if subject.g is None else {"g": subject.g}),
        ProbeTask.of_study(
            subject.study,
            batch_size=execution.batch_size,
            num_workers=execution.num_workers,
        ),
        probe or ("logistic", "knn"),
        seed=seed,
        device=execution.device,
    )
    folder = output.out or (subject.folder and subject.folder / "probe")
    save_and_show(subject.named(result), output.as_json, folder)


def _measure(
    name: str,
    source: str | None,
    encoder: EncoderGroup,
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
    **options: Any,
) -> None:
    """Measure with an evaluator, save the result and show it.

    Args:
        name: The evaluator's name.
        source: A run folder; for a custom encoder, a folder or a list of images.
        encoder: The encoder.
        views: Layers and views.
        execution: How the pass runs.
        output: Where the result goes.
        options: The evaluator's own arguments.

    Raises:
        MemorizationError: If there is nothing to resume, or the measurement fails.
    """
    from lightly_memloc.evaluators import EVALUATORS
    from lightly_memloc.evaluators.evaluator import result_folder

    subject = encoder.resolve(source, views.views, views.seed)
    folder = output.out or (subject.folder and subject.folder / result_folder(name))
    state_file = _state_file(folder, output.resume)
    if folder is not None:
        from lightly_memloc.report import save_views

        save_views(subject.study, folder / "views.png")
    evaluator = EVALUATORS[name](
        subject.f,
        subject.study,
        subject.g,
        layers=views.layers or "auto",
        **asdict(execution),
        state_file=state_file,
        **options,
    )
    if evaluator.added:
        n_added = len(evaluator.added)
        print_notice(
            f"{len(evaluator.indices)} images with {views.views} views each pass through "
            f"the encoder and {n_added} untrained copies of it, {1 + n_added} times the "
            "work of the encoder alone. layer-mem --no-covariates leaves the copies out."
        )
    with resumable(partial(kept_of_measurement, state_file), "--resume"):
        result = evaluator.run()
    save_and_show(subject.named(result), output.as_json, folder)


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
