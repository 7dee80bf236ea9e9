"""The help's tables, in which names of options stay whole in a narrow terminal."""

from typing import Any

import typer.rich_utils
from rich.table import Table
from rich.text import Text


class HelpTable(Table):
    """A table of options, whose names are not cut and whose other cells are folded."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, and let its columns be as wide as they need to be."""
        super().add_row(*cells, **options)
        for column, cell in zip(self.columns, cells, strict=False):
            column.overflow = "fold"
            if isinstance(cell, Text) and cell.plain.startswith("-"):
                column.no_wrap = True


def show_whole_names() -> None:
    """Make typer show its options in such tables."""
    setattr(typer.rich_utils, "Table", HelpTable)  # noqa: B010
