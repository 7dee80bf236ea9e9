"""Tables of committed results, where a page says ``<!-- table RESULT NUMBER -->``."""

import io
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from lightly_memloc import load_result
from lightly_memloc.report import result_tables

RESULTS = Path(__file__).parents[1] / "results"

_PLACE = re.compile(r"^<!-- table (\S+) (\d+) -->$", flags=re.MULTILINE)


def with_tables(markdown: str) -> str:
    """Put the tables in their places, as the command line prints them."""

    def table(place: re.Match[str]) -> str:
        tables = result_tables(load_result(RESULTS / place[1]))
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(tables[int(place[2])])
        lines = [line.rstrip() for line in console.export_text().splitlines()]
        printed = "\n".join(line for line in lines if line)
        return f"```text\n{printed}\n```"

    return _PLACE.sub(table, markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables in their places."""
    return with_tables(markdown)
