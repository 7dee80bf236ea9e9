"""A table of plain text, which knows how a terminal shows it."""

from dataclasses import dataclass

import rich.table
from rich.text import Text

_TERMINAL = 80
_BAR_WIDTH = 6
_NARROWEST_TEXT = 12


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes:
        header: Its header.
        is_number: Whether its cells are numbers, which are aligned to the right.
    """

    header: str
    is_number: bool = True


@dataclass(frozen=True)
class Table:
    """A table of plain text: whoever renders it does the escaping.

    Attributes:
        title: The title.
        columns: The columns.
        rows: A cell a column, row by row.
        bars: The length of the bar after each row, in [0, 1]; None without bars.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[float, ...] | None = None

    def __rich__(self) -> rich.table.Table:
        """Render for a terminal: what is too wide is folded, but numbers stay whole."""
        table = rich.table.Table(
            title=Text(self.title, style="table.title"),
            title_justify="left",
            min_width=min(len(self.title), _TERMINAL),
            pad_edge=False,
            collapse_padding=True,
            box=None,
        )
        for index, column in enumerate(self.columns):
            longest = _longest_word([column.header, *(row[index] for row in self.rows)])
            narrowest = longest if column.is_number else min(longest, _NARROWEST_TEXT)
            table.add_column(
                Text(column.header),
                justify="right" if column.is_number else "left",
                overflow="fold",
                min_width=narrowest,
            )
        rows = self.rows
        if self.bars is not None:
            table.add_column("", no_wrap=True)
            bars = map(_blocks, self.bars)
            rows = tuple((*row, bar) for row, bar in zip(rows, bars, strict=True))
        for row in rows:
            table.add_row(*map(Text, row))
        return table


def _longest_word(cells: list[str]) -> int:
    return max(len(word) for cell in cells for word in cell.split() or [""])


def _blocks(share: float) -> str:
    """A bar of block characters, in steps of an eighth of a character."""
    full, rest = divmod(round(share * _BAR_WIDTH * 8), 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
