"""The verdicts in the terminal."""

import pandas as pd
from claims import CLAIMS
from rich.console import Console
from rich.table import Table

_COLOURS = {"confirmed": "green", "contradicted": "red"}


def show_verdicts(folder):
    """Print one row per claim, with its verdict.

    Args:
        folder: The folder of the tables.
    """
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")["verdict"]
    table = Table(box=None)
    for heading in ("", "claim", "verdict"):
        table.add_column(heading, justify="left", overflow="fold")
    for claim in CLAIMS:
        verdict = verdicts[claim.name]
        colour = _COLOURS.get(verdict, "default")
        table.add_row(claim.name, claim.text, f"[{colour}]{verdict}[/]")
    console = Console()
    console.print(table)
    console.print(f"Effects, intervals and controls: {folder.with_suffix('.md')}")
