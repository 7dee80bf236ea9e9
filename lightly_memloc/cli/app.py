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

from lightly_memloc.cli.analyze import analyze
from lightly_memloc.cli.class_mem import class_mem
from lightly_memloc.cli.curate import curate
from lightly_memloc.cli.demo import demo
from lightly_memloc.cli.exchange import exchange
from lightly_memloc.cli.finetune import finetune
from lightly_memloc.cli.layer_mem import layer_mem
from lightly_memloc.cli.layers import layers
from lightly_memloc.cli.measure import measure
from lightly_memloc.cli.membership import membership
from lightly_memloc.cli.probe import probe
from lightly_memloc.cli.prune import prune
from lightly_memloc.cli.report import report
from lightly_memloc.cli.split import split
from lightly_memloc.cli.ssl_mem import ssl_mem
from lightly_memloc.cli.train import train
from lightly_memloc.cli.tune_unit import tune_unit
from lightly_memloc.cli.unit_mem import unit_mem
from lightly_memloc.errors import MemorizationError, MemorizationWarning

_DEBUG = "--debug"

app = typer.Typer(
    name="lightly-memloc",
    help="Find out whether, which and where a vision encoder memorised its images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    layers,
    split,
    train,
    layer_mem,
    unit_mem,
    class_mem,
    ssl_mem,
    measure,
    membership,
    analyze,
    probe,
    prune,
    finetune,
    exchange,
    tune_unit,
    curate,
    report,
):
    # The help fits any terminal: paragraphs keep no line breaks of the source.
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    app.command(help="\n\n".join(" ".join(p.split()) for p in paragraphs))(command)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lightly-memloc {version('lightly-memloc')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print version."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(_DEBUG, help="Show where in the code an error arose; anywhere."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the user's errors end with exit code 2, untraced."""
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    if isinstance(sys.stdout, TextIOWrapper):
        # Where bars or names cannot be encoded, the numbers are shown nonetheless.
        sys.stdout.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        try:
            app(arguments)
        except (MemorizationError, OSError) as error:
            if _DEBUG in sys.argv:
                raise
            _print_error("[bold red]Error:[/]", error)
            sys.exit(2)


def _show_warning(
    otherwise: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    *place: Any,
) -> None:
    """Show the project's warnings in their own words, without a place in the code."""
    if issubclass(category, MemorizationWarning):
        _print_error("[bold yellow]Warning:[/]", message)
    else:
        otherwise(message, category, *place)


def _print_error(title: str, message: object) -> None:
    Console(stderr=True, highlight=False).print(
        f"{title} {escape(str(message))}", soft_wrap=True
    )
