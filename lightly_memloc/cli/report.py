"""Commands that show results: report, and demo, which makes them first."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from lightly_memloc.cli.interruption import kept_of_trainings, resumable
from lightly_memloc.cli.options import OUTPUT, Json, a_file, a_folder
from lightly_memloc.cli.output import (
    print_finding,
    print_json,
    print_result,
    print_tables,
    say,
)
from lightly_memloc.errors import MemorizationError


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
            "\\[default: the run's images]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=a_file,
            rich_help_panel=OUTPUT,
            help="The HTML file. \\[default: report.html in the folder]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all results of a folder to one HTML page, and print them.

    The page opens offline. It contains a summary in words, charts of layers and units,
    the most and the least memorised images, and for each layer the units of highest
    UnitMem with the images that activate them most.
    """
    from lightly_memloc.report import Saved, write_report

    saved = Saved.read(folder)
    is_printed = out is not None and _is_standard_output(out)
    if is_printed and as_json:
        raise MemorizationError(
            f"The page goes to standard output ({out}), and so would the JSON document. "
            "Write the page to a file, or omit --json."
        )
    page = write_report(saved, out, None if data is None else _opened(data))
    if is_printed:
        return
    if as_json:
        print_json({name: of.to_dict() for name, of in saved.results.items()})
        return
    for result in saved.results.values():
        print_result(result)
        say("")
    say(f"The report is {page}.")


def demo(
    out: Annotated[
        Path,
        typer.Option(
            callback=a_folder, rich_help_panel=OUTPUT, help="The run folder to write."
        ),
    ] = Path("runs/demo"),
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke",
            help="Train for two epochs only, to check the installation. The results "
            "mean nothing.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a pair on handwritten digits and find what it memorised, in two minutes.

    Splits the embedded data set, trains f and g with SimCLR, measures LayerMem and
    UnitMem, and writes tables, JSON and plots to the run folder. A run folder that
    contains a trained pair is measured again, but not trained again.
    """
    from lightly_memloc.evaluators import measure_layer_mem, measure_unit_mem
    from lightly_memloc.report import save_with_figures, write_report
    from lightly_memloc.training.demo import N_VIEWS, train_demo

    if not as_json:
        say(
            "lightly-memloc demo: 1,797 scans of handwritten digits. Encoder f trains "
            "on 200 shared and 200 candidate images, and g on the shared and 200 "
            "independent images. Neither trains on the 200 external images."
        )
    with resumable(partial(kept_of_trainings, out)):
        run = train_demo(out, epochs=2 if smoke else 80)
    f, g = run.encoder("f"), run.encoder("g")
    dataset, transform = run.dataset(), run.transform()
    layer_mem = measure_layer_mem(f, g, dataset, run.split, transform, n_views=N_VIEWS)
    unit_mem = measure_unit_mem(
        f, dataset, transform, reference=g, split=run.split, n_views=N_VIEWS
    )
    save_with_figures(layer_mem, out / "layer-mem")
    save_with_figures(unit_mem, out / "unit-mem")
    page = write_report(out)
    results = (layer_mem, unit_mem)
    if as_json:
        print_json({result.kind: result.to_dict() for result in results})
        return
    for result in results:
        print_tables(result)
    for result in results:
        print_finding(result)
        say("")
    say(f"Tables, JSON and plots are in {out}. Open {page}.")


def _is_standard_output(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


def _opened(data: str) -> Any:
    # Imported when there is something to open: lightly takes seconds.
    from lightly_memloc.data import open_dataset

    return open_dataset(data)
