"""The command line: parses, calls and prints."""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from inspect import cleandoc
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lightly_memloc.cli.compare import analyze, membership, ssl_mem
from lightly_memloc.cli.help import show_whole_names
from lightly_memloc.cli.interruption import explain, resumable
from lightly_memloc.cli.intervene import curate, exchange, finetune, prune, tune_unit
from lightly_memloc.cli.measure import class_mem, layer_mem, measure, probe, unit_mem
from lightly_memloc.cli.options import flattened
from lightly_memloc.cli.prepare import layers, split, views
from lightly_memloc.cli.report import demo, report
from lightly_memloc.cli.train import train
from lightly_memloc.errors import (
    DivergedError,
    MemorizationError,
    MemorizationWarning,
)
from lightly_memloc.runtime.interruption import Interrupted, interruptible
from lightly_memloc.runtime.printable import printable

_DEBUG = "--debug"
_HELP = {"help_option_names": ["-h", "--help"]}

# The families of commands, as the help shows them.
_FAMILIES: dict[str, tuple[Callable[..., None], ...]] = {
    "Start": (demo,),
    "Train": (split, train, layers, views),
    "Measure": (layer_mem, unit_mem, class_mem, ssl_mem, measure, probe),
    "Compare": (membership, analyze),
    "Intervene": (prune, finetune, exchange, tune_unit, curate),
    "Report": (report,),
}

app = typer.Typer(
    name="lightly-memloc",
    help="Find out whether, which and where a vision encoder memorised its images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_HELP,
)
for family, commands in _FAMILIES.items():
    for command in commands:
        # The help fits any terminal: its paragraphs lose the line breaks of the source.
        paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
        app.command(
            help="\n\n".join(" ".join(p.split()) for p in paragraphs),
            rich_help_panel=family,
            context_settings=_HELP,
        )(flattened(command))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lightly-memloc {version('lightly-memloc')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            _DEBUG,
            help="Show the traceback of an error. May stand anywhere in the command.",
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; user errors end with exit code 2 and no traceback."""
    show_whole_names()
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that cannot encode bars or names still shows the numbers.
        sys.stdout.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        try:
            with interruptible(), resumable(lambda: None):
                app(arguments, prog_name="lightly-memloc")
        except (MemorizationError, OSError) as error:
            if _DEBUG in sys.argv:
                raise
            _print_error("[bold red]Error:[/]", error)
            sys.exit(1 if isinstance(error, DivergedError) else 2)
        except Interrupted as interruption:
            _print_error("[bold yellow]Interrupted.[/]", explain(interruption))
            sys.exit(128 + interruption.number)


def _show_warning(
    otherwise: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    *place: Any,
) -> None:
    """Show the project's warnings without the line of code that raised them."""
    if issubclass(category, MemorizationWarning):
        _print_error("[bold yellow]Warning:[/]", message)
    else:
        otherwise(message, category, *place)


def _print_error(title: str, message: object) -> None:
    Console(stderr=True, highlight=False).print(
        f"{title} {escape(printable(str(message)))}", soft_wrap=True
    )
