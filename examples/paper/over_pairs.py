"""Means over pairs, with Student's 95% interval."""

import pandas as pd

from lightly_memloc.functional import student_mean


def over_pairs(table, columns, by):
    """Average columns over pairs.

    Args:
        table: Table with one row per pair and combination of the columns ``by``.
        columns: Columns to average.
        by: Columns that identify rows, besides the pair.

    Returns:
        One row per combination, in the order of the table: the mean of each column, and
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
