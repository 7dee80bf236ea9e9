"""Making a table of a frame, field by field."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from lightly_memloc.report.tables.formats import Format, between, p_value, signed
from lightly_memloc.report.tables.table import Column, Table


@dataclass(frozen=True)
class Field:
    """What a table shows of a frame in one of its columns.

    Attributes:
        header: The header.
        names: The frame's columns that a cell is made of.
        shown: Makes the cell of a row from its values in those columns.
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


def make_table(
    title: str,
    frame: pd.DataFrame,
    fields: Sequence[Field],
    bar: str | None = None,
    full: float | None = None,
) -> Table:
    """Make a table with a row a row of a frame.

    Args:
        title: The title.
        frame: What is shown.
        fields: The table's columns.
        bar: The frame's column that is drawn as bars, where it is above zero.
        full: The value of a full bar; by default the largest absolute one.

    Examples:
        >>> from lightly_memloc.report.tables.formats import share
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
        title,
        tuple(Column(field.header, field.is_number) for field in fields),
        tuple(zip(*cells, strict=True)),
        None if bar is None else _bars(frame[bar], full),
    )


def _bars(values: "pd.Series[float]", full: float | None) -> tuple[float, ...]:
    largest = values.abs().max() if full is None else full
    if not largest > 0:
        return (0.0,) * len(values)
    shares = (values / largest).fillna(0.0).clip(0.0, 1.0)
    return tuple(float(share) for share in shares)
