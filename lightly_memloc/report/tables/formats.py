"""Numbers as cells of a table; ``-`` where there is none."""

from collections.abc import Callable

import pandas as pd

Format = Callable[[float], str]


def formatted(spec: str) -> Format:
    """Return the format of a format specification, such as ``".2f"``."""

    def shown(value: float) -> str:
        return "-" if pd.isna(value) else format(value, spec)

    return shown


share = formatted(".3f")
signed = formatted("+.3f")
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


def between(end: Format) -> Callable[[float, float], str]:
    """Return the format of an interval whose ends have a format."""

    def shown(low: float, high: float) -> str:
        return "-" if pd.isna(low) else f"{end(low)} {end(high)}"

    return shown
