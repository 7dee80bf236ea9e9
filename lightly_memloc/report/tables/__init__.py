"""Results as tables, for the terminal and for pages."""

# Each registers its tables of the results that it knows.
from lightly_memloc.report.tables import (  # noqa: F401
    accuracy,
    analysis,
    images,
    layers,
    units,
)
from lightly_memloc.report.tables.build import (
    Field,
    interval,
    make_table,
    number,
    p_of,
    text,
)
from lightly_memloc.report.tables.formats import p_value
from lightly_memloc.report.tables.result_tables import result_tables
from lightly_memloc.report.tables.table import Column, Table

__all__ = [
    "Column",
    "Field",
    "Table",
    "interval",
    "make_table",
    "number",
    "p_of",
    "p_value",
    "result_tables",
    "text",
]
