"""The demo command: the whole story on the embedded digits."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import Json
from lightly_memloc.cli.output import print_finding, print_json, print_tables, say


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="Two epochs, to see that it runs; shows nothing."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a pair on handwritten digits and find what it memorised, in two minutes.

    Splits the embedded data set, trains f and g with SimCLR, measures LayerMem and
    UnitMem, and writes tables, JSON and plots to the run folder. A pair that is there
    already is measured again, not trained again.
    """
    from lightly_memloc.cli.demo_study import run_demo

    if not as_json:
        say(
            "lightly-memloc demo: 1,797 scans of handwritten digits. Encoder f trains "
            "on 200 shared and 200 candidate images, g on the shared and 200 "
            "independent ones; 200 external images are seen by neither."
        )
    study = run_demo(out, epochs=2 if smoke else 80)
    if as_json:
        print_json({result.kind: result.to_dict() for result in study.results})
        return
    for result in study.results:
        print_tables(result)
    for result in study.results:
        print_finding(result)
        say("")
    say(f"Tables, JSON and plots are in {out}; open {study.page}.")
