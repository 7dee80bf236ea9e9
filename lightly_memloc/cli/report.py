"""The report command: what was measured, as a page and in the terminal."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import Json
from lightly_memloc.cli.output import print_finding, print_json, print_tables, say


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|RUNS|RESULT",
            help="A run folder, a folder of runs, or the folder of a single result.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The measured images, for thumbnails: a folder, or 'digits'. "
            "\\[default: the run's]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page. \\[default: report.html in the folder]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page of all that was measured, and print it.

    The page opens offline: a summary in words, charts of layers and units, the most and
    the least memorised images, and for each layer its units of the highest UnitMem with the
    images that activate them most.
    """
    from lightly_memloc.data import open_dataset
    from lightly_memloc.report import Saved, write_report

    saved = Saved.read(folder)
    page = write_report(saved, out, None if data is None else open_dataset(data))
    if as_json:
        print_json({name: of.to_dict() for name, of in saved.results.items()})
        return
    for result in saved.results.values():
        print_tables(result)
        print_finding(result)
        say("")
    say(f"The report is {page}.")
