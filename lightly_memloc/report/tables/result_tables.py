"""The tables of a result, by its class."""

from functools import singledispatch

from lightly_memloc.report.tables.scalars import scalar_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import Result


@singledispatch
def result_tables(result: Result) -> list[Table]:
    """Make the tables of a result.

    Another package registers those of its own results with
    ``result_tables.register(ItsResult, its_tables)``; without, they are made of the
    result's scalars.

    Args:
        result: A result of any class.
    """
    return scalar_tables(result)
