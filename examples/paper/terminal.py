"""The verdicts in the terminal."""

import pandas as pd
from claims import CLAIMS
from rich.console import Console
from rich.table import Table
from verdict import CONFIRMED, CONTRADICTED

from lightly_memloc.report import p_value

_COLOURS = {CONFIRMED: "green", CONTRADICTED: "red"}


def show_verdicts(folder):
    """Print one row per claim, with its verdict.

    Args:
        folder: The folder of the tables.
    """
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    table = Table(box=None)
    for heading in ("", "claim", "q", "verdict"):
        table.add_column(heading, justify="left", overflow="fold")
    for claim in CLAIMS:
        q, verdict = verdicts.loc[claim.name, ["q", "verdict"]]
        colour = _COLOURS.get(verdict, "default")
        table.add_row(claim.name, claim.text, p_value(q), f"[{colour}]{verdict}[/]")
    console = Console()
    console.print(table)
    console.print(f"Effects, intervals and controls: {folder.with_suffix('.md')}")
