"""What commands print: tables on a terminal, or one JSON document."""

import json
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from lightly_memloc.report.tables import Table
    from lightly_memloc.results import Result


def console() -> Console:
    """The terminal on standard output."""
    return Console(highlight=False)


def print_json(document: Any) -> None:
    """Print a JSON document on standard output."""
    print(json.dumps(document, indent=1))


def say(text: str) -> None:
    """Print a text, wrapped between words: a path longer than a line stays whole."""
    print(
        textwrap.fill(
            text, console().width, break_long_words=False, break_on_hyphens=False
        )
    )


def save_and_show(result: "Result", as_json: bool, folder: Path | None) -> None:
    """Save a result with its figures, and print it as tables or as JSON.

    Args:
        result: The result.
        as_json: Whether JSON is printed.
        folder: The folder to save it to, if any.
    """
    from lightly_memloc.report import save_with_figures

    if folder is not None:
        save_with_figures(result, folder)
    if as_json:
        print_json(result.to_dict())
        return
    print_tables(result)
    print_finding(result)
    if folder is not None:
        say(f"Tables, JSON and plots are in {folder}.")
        print(f"As a page: lightly-memloc report {_reported(folder)}")


def _reported(folder: Path) -> Path:
    """The folder whose report tells of a result: that of its run or runs, if any."""
    from lightly_memloc.training import Run, Runs

    whole = folder.parent
    return whole if Run.is_run(whole) or Runs.is_runs(whole) else folder


def print_tables(result: "Result") -> None:
    """Print a result's tables and the images that were left out."""
    from lightly_memloc.report import report_of

    for table in report_of(result).tables():
        print_table(table)
        console().print()
    print_skipped(result.settings.get("skipped", ()))


def print_table(table: "Table") -> None:
    """Print a table; on a terminal too narrow for it, its lines are not cut."""
    console().print(table, crop=False)


def print_finding(result: "Result") -> None:
    """Say in words what a result shows, where there are words for it."""
    from lightly_memloc.report import report_of

    said = report_of(result).words()
    if said:
        say(said)


def print_skipped(filenames: Iterable[str]) -> None:
    """Say which unreadable images were left out, on standard error."""
    names = list(filenames)
    if names:
        print(
            f"Left out {len(names)} unreadable images: {', '.join(names)}.",
            file=sys.stderr,
        )
