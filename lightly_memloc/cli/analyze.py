"""The analyze command."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import Json, ResultOut


def analyze(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder that `layer-mem`, `unit-mem` or `class-mem` have measured.",
        ),
    ],
    top_k: Annotated[
        int,
        typer.Option(
            min=2,
            help="How many images are the most memorised, and the least: at most a "
            "quarter.",
        ),
    ] = 100,
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """Compare layers, images and units by what was measured of a run.

    From layer-mem: do layers memorise the same images, and how far are the most
    memorised images from the least? With unit-mem: do memorised images win units? From
    unit-mem and class-mem: are units tied to images or to classes?
    """
    from lightly_memloc import estimation
    from lightly_memloc.cli.output import save_and_show
    from lightly_memloc.results import (
        ClassMemResult,
        LayerMemResult,
        UnitMemResult,
        find_result,
    )

    result = estimation.analyze(
        find_result(run / "layer-mem", LayerMemResult),
        find_result(run / "unit-mem", UnitMemResult),
        find_result(run / "class-mem", ClassMemResult),
        top_k,
    )
    save_and_show(result, as_json, out or run / "analysis")
