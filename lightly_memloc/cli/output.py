"""What commands print: tables on a terminal, or one JSON document."""

import shlex
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lightly_memloc.runtime.printable import printable

if TYPE_CHECKING:
    from lightly_memloc.report.tables import Table
    from lightly_memloc.results import Result


def console() -> Console:
    """Return the terminal on standard output."""
    return Console(highlight=False)


def print_json(document: Any) -> None:
    """Print a JSON document on standard output; what is not finite is null."""
    from lightly_memloc.runtime.json_text import to_json

    print(to_json(document, indent=1))


def say(text: str) -> None:
    """Print a text, wrapped between words: a path longer than a line stays whole."""
    print(
        textwrap.fill(
            printable(text),
            console().width,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def say_command(before: str, *words: str | Path) -> None:
    """Print a command on a line of its own, to be copied.

    Args:
        before: What it is for.
        words: The subcommand and its arguments.
    """
    command = shlex.join(["lightly-memloc", *map(str, words)])
    print(printable(f"{before}: {command}"))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 image`` or ``2 images``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def save_and_show(result: "Result", as_json: bool, folder: Path | None) -> None:
    """Save a result with its figures, and print it as tables or as JSON.

    Args:
        result: The result.
        as_json: Whether to print JSON.
        folder: The folder to save it to, if any.
    """
    from lightly_memloc.report import save_with_figures
    from lightly_memloc.report.saved import is_study

    if folder is not None:
        save_with_figures(result, folder)
    if as_json:
        print_json(result.to_dict())
        return
    print_result(result)
    if folder is not None:
        say(f"Saved tables, JSON and plots to {folder}.")
        whole = folder.parent if is_study(folder.parent) else folder
        say_command("As a page", "report", whole)


def print_result(result: "Result") -> None:
    """Print a result's tables and what it shows in words."""
    print_tables(result)
    print_finding(result)


def print_tables(result: "Result") -> None:
    """Print a result's tables and the images that were skipped."""
    from lightly_memloc.report import report_of

    for table in report_of(result).tables():
        print_table(table)
        console().print()
    print_skipped(result.settings.get("skipped", ()))


def print_table(table: "Table") -> None:
    """Print a table; a terminal that is too narrow for it does not cut its lines."""
    console().print(table, crop=False)


def print_finding(result: "Result") -> None:
    """Print what a result shows in words, if there are words for it."""
    from lightly_memloc.report import report_of

    said = report_of(result).words()
    if said:
        say(said)


def print_skipped(filenames: Iterable[str]) -> None:
    """List the unreadable images that were skipped, on standard error."""
    names = list(filenames)
    if names:
        unreadable = counted(len(names), "unreadable image")
        print_notice(f"Skipped {unreadable}: {', '.join(names)}.")


def print_notice(text: str) -> None:
    """Print a text on standard error."""
    print(printable(text), file=sys.stderr)
