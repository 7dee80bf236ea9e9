"""The figures' style: readable at 400 pixels and by colour-blind people."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightly_memloc.runtime.printable import printable

# Okabe and Ito's colours, which colour-blind people can distinguish.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"
# Also from light to dark for colour-blind people and in print.
SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"

MAX_TICKS = 11
_SIZE = (5.4, 3.9)
_LEGEND_COLUMNS = 2
_MAX_NAME = 22


def new_axes() -> Axes:
    """Return the axes of a new figure, which is not shown in a window."""
    return Figure(figsize=_SIZE, layout="constrained").add_subplot()


def set_labels(axes: Axes, title: str, ylabel: str = "", xlabel: str = "") -> None:
    """Set the title and the axis labels, and hide the upper and right spines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11)
    axes.set_ylabel(ylabel)
    axes.set_xlabel(xlabel)


def zero_line(axes: Axes) -> None:
    """Draw the line of no effect."""
    axes.axhline(0, color="black", linewidth=0.8)


def legend(axes: Axes) -> None:
    """Add a legend between the title and the axes, where it hides nothing."""
    rows = math.ceil(len(axes.get_legend_handles_labels()[1]) / _LEGEND_COLUMNS)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=_LEGEND_COLUMNS,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
    )
    axes.set_title(axes.get_title(), fontsize=11, pad=8 + 14 * rows)


def plain(text: str) -> str:
    """Escape text for matplotlib: dollar signs start no formula."""
    return printable(text).replace("$", r"\$")


def layer_ticks(axes: Axes, names: Sequence[str], vertical: bool = False) -> None:
    """Name the layers along an axis; if there are many, some at even distances."""
    shown = thinned(len(names))
    labels = short_names(names)
    chosen = [labels[i] for i in shown]
    if vertical:
        axes.set_yticks(shown, chosen, fontsize=9)
    else:
        axes.set_xticks(shown, chosen, rotation=40, ha="right", fontsize=9)


def thinned(number: int, most: int = MAX_TICKS) -> list[int]:
    """Return positions among a number of them: first, last and some between.

    Args:
        number: How many positions there are.
        most: How many are returned at most, by default as many as fit as ticks.
    """
    if number <= most:
        return list(range(number))
    return [round(place) for place in np.linspace(0, number - 1, most)]


def short_names(names: Sequence[str]) -> list[str]:
    """Return layer names without their common beginning; long ones are cut in front."""
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
