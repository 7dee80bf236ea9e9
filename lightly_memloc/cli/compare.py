"""Commands that compare what was measured: ssl-mem, membership, analyze."""

import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightly_memloc.cli.interruption import kept_of_measurement, resumable
from lightly_memloc.cli.options import (
    Json,
    MovedData,
    OutputGroup,
    PassGroup,
    ResumableGroup,
    ViewsGroup,
)
from lightly_memloc.cli.output import save_and_show
from lightly_memloc.errors import MemorizationError

if TYPE_CHECKING:
    from lightly_memloc.results import Result


def ssl_mem(
    runs: Annotated[
        Path,
        typer.Argument(metavar="RUNS", help="A folder written by `train --runs K`."),
    ],
    views: ViewsGroup,
    execution: PassGroup,
    output: ResumableGroup,
    data: MovedData = None,
) -> None:
    """Measure SSLMem of each image over several runs, with intervals over runs."""
    from lightly_memloc.training import Runs, measure_ssl_mem_runs

    of = Runs(runs)
    folder = output.out or of.folder / "ssl-mem"
    # Only what a measurement writes is removed: --out may contain other files.
    state_folder = folder / "layer-mem-of-runs"
    if output.resume and not state_folder.is_dir():
        raise MemorizationError(
            f"Nothing to resume: {folder} contains no interrupted measurement."
        )
    for name in () if output.resume else of.names:
        for kept in ("result.json", "state.pt"):
            (state_folder / name / kept).unlink(missing_ok=True)
    with resumable(partial(kept_of_measurement, state_folder), "--resume"):
        result = measure_ssl_mem_runs(
            of.folder,
            layers=views.layers or "auto",
            n_views=views.views,
            seed=views.seed,
            data=data,
            **asdict(execution),
            state_folder=state_folder,
        )
    save_and_show(result, output.as_json, folder)


def membership(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|RESULT",
            help="A run folder measured with `layer-mem`, or the folder of its result.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Test how well each layer separates candidates from external images.

    Two scores are tested: the alignment of the encoder alone and, with a reference
    encoder, SSLMem.
    """
    from lightly_memloc.estimation import infer_membership
    from lightly_memloc.report.saved import is_study, measure_first
    from lightly_memloc.results import LayerMemResult, load_result

    of_run = is_study(folder)
    source = folder / "layer-mem" if of_run else folder
    if of_run and not (source / "result.json").is_file():
        raise MemorizationError(measure_first(folder))
    measured = load_result(source)
    if not isinstance(measured, LayerMemResult):
        raise MemorizationError(
            f"{source} contains no LayerMem result, but one of {measured.kind}."
        )
    if is_study(source.parent):
        _refuse_changed(source.parent, measured)
    save_and_show(
        infer_membership(measured),
        as_json,
        folder / "membership" if of_run else None,
    )


def analyze(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder measured with `layer-mem`, `unit-mem` or `class-mem`.",
        ),
    ],
    output: OutputGroup,
    top_k: Annotated[
        int,
        typer.Option(
            min=2,
            help="Number of images in each group, the most and the least memorised; "
            "limited to a quarter of the images.",
        ),
    ] = 100,
) -> None:
    """Compare the layers, images and units of a measured run.

    With layer-mem: do layers memorise the same images, and how far apart are the most
    and the least memorised images? With unit-mem as well: do memorised images activate
    units most? With unit-mem and class-mem: are units tied to images or to classes?
    """
    from lightly_memloc import estimation
    from lightly_memloc.report.saved import is_study, measure_first
    from lightly_memloc.results import (
        ClassMemResult,
        LayerMemResult,
        UnitMemResult,
        find_result,
    )

    layer_mem = find_result(run / "layer-mem", LayerMemResult)
    unit_mem = find_result(run / "unit-mem", UnitMemResult)
    class_mem = find_result(run / "class-mem", ClassMemResult)
    if not (layer_mem or unit_mem or class_mem):
        raise MemorizationError(measure_first(run))
    if is_study(run):
        _refuse_changed(run, layer_mem, unit_mem, class_mem)
    result = estimation.analyze(layer_mem, unit_mem, class_mem, top_k)
    save_and_show(result, output.as_json, output.out or run / "analysis")


def _refuse_changed(folder: Path, *results: "Result | None") -> None:
    """Refuse results of a run that are of an earlier state of it."""
    # Results that were kept without the encoders are shown at once, without torch.
    if not any(folder.glob("*.ckpt")):
        return
    from lightly_memloc.training import Run, refuse_changed

    for result in filter(None, results):
        refuse_changed(result, Run(folder), f"{result.kind} {shlex.quote(str(folder))}")
