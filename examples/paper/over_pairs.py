"""Means over pairs, with Student's 95% interval."""

import pandas as pd

from lightly_memloc.functional import student_mean


def over_pairs(table, columns, by):
    """Average columns over pairs.

    Args:
        table: Rows that differ in their pair alone where the columns ``by`` agree.
        columns: What is averaged.
        by: Columns that tell rows from each other, beside the pair.

    Returns:
        A row for each combination, in the order of the table: each column's mean, and
        its interval and p-value against zero in ``_low``, ``_high`` and ``_p``.
    """
    rows = []
    for key, of in table.groupby(by, sort=False):
        row = dict(zip(by, key, strict=True)) | {"pairs": len(of)}
        for column in columns:
            mean = student_mean(of[column])
            row |= {
                column: float(mean.value),
                f"{column}_low": float(mean.low),
                f"{column}_high": float(mean.high),
                f"{column}_p": float(mean.p),
            }
        rows.append(row)
    return pd.DataFrame(rows)
