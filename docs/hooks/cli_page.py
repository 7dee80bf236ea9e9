"""Generate the reference of the command line from the commands."""

import re

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from lightly_memloc.cli.app import app

# The list cuts the help of the commands short; the table of contents names them all.
_LIST = re.compile(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    command = typer.main.get_command(app)
    markdown = get_docs_for_click(
        obj=command,
        ctx=typer.Context(command, info_name="lightly-memloc"),
        name="lightly-memloc",
        title="Command line",
    )
    content = _LIST.sub("", markdown)
    files.append(File.generated(config, "reference/cli.md", content=content))
    return files
