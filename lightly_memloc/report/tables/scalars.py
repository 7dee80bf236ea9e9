"""Tables of any result, of the numbers that it logs."""

import pandas as pd

from lightly_memloc.report.tables.build import make_table, number, text
from lightly_memloc.report.tables.formats import formatted
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import Result


def scalar_tables(result: Result) -> list[Table]:
    """Make a table for each metric of a result's scalars, ``metric/layer``."""
    rows = [
        (*name.partition("/")[::2], value) for name, value in result.scalars().items()
    ]
    frame = pd.DataFrame(rows, columns=["metric", "layer", "value"])
    return [
        make_table(
            f"{metric} ({result.kind})",
            of,
            [text("layer"), number("value", formatted(".4g"), str(metric))],
            bar="value",
        )
        for metric, of in frame.groupby("metric", sort=False)
    ]
