"""The report command: saved results, printed again."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import Json
from lightly_memloc.cli.output import print_finding, print_json, print_tables


def report(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a single result.")
    ],
    as_json: Json = False,
) -> None:
    """Print saved results again."""
    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.results import load_result

    folders = sorted(path.parent for path in folder.glob("*/result.json"))
    if (folder / "result.json").is_file() or not folders:
        folders = [folder]
    if not folder.is_dir():
        raise MemorizationError(f"There is no folder {folder}.")
    results = [load_result(path) for path in folders]
    if as_json:
        print_json({result.kind: result.to_dict() for result in results})
        return
    for result in results:
        print_tables(result)
        print_finding(result)
