"""The figures' style: readable at 400 pixels, and without telling red from green."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito's colours, which colour-blind people can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"
# Light to dark for them, too, and in print.
SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"

_SIZE = (5.4, 3.9)
_MAX_TICKS = 11
_MAX_NAME = 22


def new_figure(
    title: str, ylabel: str, size: tuple[float, float] = _SIZE
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11)
    axes.set_ylabel(ylabel)
    return figure, axes


def zero_line(axes: Axes) -> None:
    """Draw the line of no effect."""
    axes.axhline(0, color="black", linewidth=0.8)


def legend(axes: Axes, **place: Any) -> None:
    """Say what is what, by default out of the way of the data."""
    axes.legend(frameon=False, fontsize=9, **place)


def line_with_band(
    axes: Axes,
    table: pd.DataFrame,
    name: str,
    label: str,
    color: str,
    marker: str,
    line: str = "-",
) -> None:
    """Draw an estimate along the rows of a table, with its interval as a band.

    Args:
        axes: Where to draw.
        table: A row a position.
        name: The estimate's column, with its interval in ``_low`` and ``_high``.
        label: What the legend calls it.
        color: Its colour.
        marker: Its marker.
        line: Its line style.
    """
    position = np.arange(len(table))
    values = table[name].to_numpy(dtype=float)
    axes.plot(
        position, values, color=color, marker=marker, linestyle=line, label=label, ms=5
    )
    if f"{name}_low" in table:
        band(axes, position, table, name, color, alpha=0.18)


def band(
    axes: Axes,
    position: NDArray[np.int64],
    table: pd.DataFrame,
    name: str,
    color: str,
    **style: Any,
) -> None:
    """Shade what lies between the ends of intervals.

    Args:
        axes: Where to draw.
        position: Where the rows of the table are.
        table: A row a position.
        name: What has its interval in columns ``_low`` and ``_high``.
        color: Its colour.
        style: More for matplotlib's ``fill_between``.
    """
    low, high = _interval(table, name)
    axes.fill_between(position, low, high, color=color, linewidth=0, **style)


def points_with_bars(axes: Axes, table: pd.DataFrame, name: str, **style: Any) -> None:
    """Draw an estimate of each row of a table as a point, with its interval as a bar.

    Args:
        axes: Where to draw.
        table: A row a position.
        name: The estimate's column, with its interval in ``_low`` and ``_high``.
        style: More for matplotlib's ``errorbar``.
    """
    values = table[name].to_numpy(float)
    low, high = _interval(table, name)
    # Rounding puts an end of no width on the wrong side, which matplotlib refuses.
    lengths = np.stack([values - low, high - values]).clip(min=0)
    position = np.arange(len(table))
    axes.errorbar(position, values, yerr=lengths, fmt="D", color=BLUE, **style)


def plain(text: str) -> str:
    """Text as matplotlib shows it as it is: dollar signs begin no formula."""
    return text.replace("$", r"\$")


def layer_ticks(axes: Axes, names: Sequence[str], vertical: bool = False) -> None:
    """Name the layers along an axis; of many, some at even distances."""
    shown = thinned(len(names))
    labels = short_names(names)
    chosen = [labels[i] for i in shown]
    if vertical:
        axes.set_yticks(shown, chosen, fontsize=9)
    else:
        axes.set_xticks(shown, chosen, rotation=40, ha="right", fontsize=9)


def thinned(number: int) -> list[int]:
    """Positions to label among a number of them: the first, the last, some between."""
    if number <= _MAX_TICKS:
        return list(range(number))
    return [round(place) for place in np.linspace(0, number - 1, _MAX_TICKS)]


def short_names(names: Sequence[str]) -> list[str]:
    """Layer names without what all begin with, the longest of them cut in front."""
    parts = [name.split(".") for name in names]
    common = 0
    while len(names) > 1 and all(
        len(of) > common + 2 and of[common] == parts[0][common] for of in parts
    ):
        common += 1
    shortened = [".".join(of[common:]) for of in parts]
    return [
        plain(name if len(name) <= _MAX_NAME else "…" + name[1 - _MAX_NAME :])
        for name in shortened
    ]


def _interval(
    table: pd.DataFrame, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return table[f"{name}_low"].to_numpy(float), table[f"{name}_high"].to_numpy(float)
