"""Tables of results: made from data frames, shown on a terminal or a page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import rich.table
from rich.text import Text

from lightly_memloc.runtime.printable import printable

_TERMINAL = 80
_BAR_WIDTH = 6
_NARROWEST_TEXT = 12

Format = Callable[[float], str]


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
    """A table of plain text; escaping is up to what renders it.

    Attributes:
        title: The title.
        columns: The columns.
        rows: The rows, with one cell per column.
        bars: The length of the bar after each row, in [0, 1]; None without bars.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[float, ...] | None = None

    def __rich__(self) -> rich.table.Table:
        """Render for a terminal: long names are folded, numbers stay whole."""
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


def formatted(spec: str) -> Format:
    """Return the format of a format specification, such as ``".2f"``; NaN is ``-``."""

    def shown(value: float) -> str:
        return "-" if pd.isna(value) else format(value, spec)

    return shown


share = formatted(".3f")
signed = formatted("+.3f")
hundredths = formatted(".2f")
percent = formatted(".0%")
tenths_of_percent = formatted(".1%")


def points(difference: float) -> str:
    """Format a difference of shares in percentage points."""
    return formatted("+.1f")(100 * difference)


def error_in_points(error: float) -> str:
    """Format a standard error of shares in percentage points."""
    return formatted(".1f")(100 * error)


def p_value(p: float) -> str:
    """Format a p-value."""
    if pd.isna(p):
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def equal_to(p: float) -> str:
    """Format a p-value after its symbol, such as ``= .020`` or ``< .001``."""
    shown = p_value(p)
    return shown.replace("<", "< ") if shown.startswith("<") else f"= {shown}"


def between(end: Format) -> Callable[[float, float], str]:
    """Return the format of an interval whose ends have a format."""

    def shown(low: float, high: float) -> str:
        return "-" if pd.isna(low) else f"{end(low)} {end(high)}"

    return shown


@dataclass(frozen=True)
class Field:
    """A column of a table, made from columns of a frame.

    Attributes:
        header: The header.
        names: The frame's columns that a cell is made from.
        shown: Formats the values of a row in those columns as a cell.
        is_number: Whether the cells are numbers.
    """

    header: str
    names: tuple[str, ...]
    shown: Callable[..., str]
    is_number: bool = True


def text(name: str, header: str | None = None) -> Field:
    """Return the field of a column of text, by default under its own name."""
    return Field(header or name, (name,), str, is_number=False)


def number(name: str, shown: Format, header: str | None = None) -> Field:
    """Return the field of a column of numbers, by default under its own name."""
    return Field(header or name, (name,), shown)


def interval(name: str, end: Format = signed, header: str = "95% interval") -> Field:
    """Return the field of an estimate's interval."""
    return Field(header, (f"{name}_low", f"{name}_high"), between(end))


def p_of(name: str) -> Field:
    """Return the field of an estimate's p-value."""
    return Field("p", (f"{name}_p",), p_value)


def adjusted_p_of(name: str, layers: pd.DataFrame) -> Field:
    """Return the field of an estimate's p-value, adjusted for the number of layers.

    Results of version 0.1.0 have only the p-value of each layer by itself.
    """
    adjusted = f"{name}_p_adjusted"
    if adjusted in layers:
        return Field("adj. p", (adjusted,), p_value)
    return p_of(name)


# What several tables begin or end with.
LAYER = (text("layer"), text("kind"))
UNITS = (*LAYER, number("units", str), number("dead", str))
ACCURACY = (
    number("accuracy", tenths_of_percent),
    Field("95% interval", ("low", "high"), between(tenths_of_percent)),
)


def counts(images: Mapping[str, int]) -> str:
    """Say how many images of each role there are."""
    return ", ".join(f"{count} {role}" for role, count in images.items())


def make_table(
    title: str,
    frame: pd.DataFrame,
    fields: Sequence[Field],
    bar: str | None = None,
    full: float | None = None,
) -> Table:
    """Make a table with one row per row of a frame.

    Args:
        title: The title.
        frame: The values to show.
        fields: The table's columns.
        bar: The frame's column that is drawn as bars; values below zero get none.
        full: The value of a full bar; by default the largest absolute one.

    Examples:
        >>> frame = pd.DataFrame({"layer": ["conv1", "fc"], "mean": [0.25, 0.5]})
        >>> table = make_table("UnitMem", frame, [text("layer"), number("mean", share)])
        >>> table.rows
        (('conv1', '0.250'), ('fc', '0.500'))
    """
    cells = [
        list(map(field.shown, *(frame[name] for name in field.names)))
        for field in fields
    ]
    return Table(
        printable(title),
        tuple(Column(printable(field.header), field.is_number) for field in fields),
        tuple(tuple(map(printable, row)) for row in zip(*cells, strict=True)),
        None if bar is None else _bars(frame[bar], full),
    )


def _bars(values: "pd.Series[float]", full: float | None) -> tuple[float, ...]:
    largest = values.abs().max() if full is None else full
    if not largest > 0:
        return (0.0,) * len(values)
    shares = (values / largest).fillna(0.0).clip(0.0, 1.0)
    return tuple(float(share) for share in shares)


def _longest_word(cells: list[str]) -> int:
    return max(len(word) for cell in cells for word in cell.split() or [""])


def _blocks(share: float) -> str:
    """A bar of block characters, in steps of an eighth of a character."""
    full, rest = divmod(round(share * _BAR_WIDTH * 8), 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
