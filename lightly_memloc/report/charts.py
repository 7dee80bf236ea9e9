"""Drawings that several results share: along depth, with intervals, sorted, as boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lightly_memloc.report.style import (
    BLUE,
    layer_ticks,
    legend,
    plain,
    set_labels,
    thinned,
    zero_line,
)
from lightly_memloc.report.svg import hover
from lightly_memloc.report.tables import (
    Format,
    p_value,
    share,
    signed,
    tenths_of_percent,
)

# Column, label, color, marker and line style.
Series = tuple[str, str, str, str, str]

_MAX_HOVERED = 60
# Thousands of outliers weigh less as pixels.
_MANY_UNITS = 2000


def along_depth(
    axes: Axes, layers: pd.DataFrame, series: Sequence[Series], shown: Format = signed
) -> None:
    """Draw estimates of layers along depth, with a line of no effect and a legend.

    Args:
        axes: Where to draw.
        layers: One row per layer, with its name in ``layer``.
        series: The columns to draw: column, label, colour, marker and line style.
        shown: Formats a value where a mark is pointed at.
    """
    for name, called, color, marker, line in series:
        line_with_band(axes, layers, name, called, color, marker, line, shown)
    zero_line(axes)
    layer_ticks(axes, layers["layer"].tolist())
    legend(axes)


def line_with_band(
    axes: Axes,
    table: pd.DataFrame,
    name: str,
    called: str,
    color: str,
    marker: str,
    line: str = "-",
    shown: Format = signed,
) -> None:
    """Draw an estimate of layers as a line, with its interval as a band.

    Args:
        axes: Where to draw.
        table: One row per layer, with its name in ``layer``.
        name: The estimate's column, with its interval in ``_low`` and ``_high``.
        called: Its name in the legend.
        color: Its colour.
        marker: Its marker.
        line: Its line style.
        shown: Formats a value where a mark is pointed at.
    """
    position = np.arange(len(table))
    values = table[name].to_numpy(dtype=float)
    axes.plot(
        position, values, color=color, marker=marker, linestyle=line, label=called, ms=5
    )
    if f"{name}_low" in table:
        band(axes, position, table, name, color, alpha=0.18)
    texts = [
        f"{layer}, {called}: {words}"
        for layer, words in zip(table["layer"], spoken(table, name, shown), strict=True)
    ]
    hover(axes, position, values, texts)


def spoken(table: pd.DataFrame, name: str, shown: Format = signed) -> list[str]:
    """Return an estimate of each row as text, with its interval and p-value if known.

    Args:
        table: The estimates.
        name: The estimate's column; interval and p-value are in ``_low``, ``_high``
            and ``_p``.
        shown: Formats a value.
    """

    def text(row: "pd.Series[float]") -> str:
        low, p = (row.get(f"{name}_{ending}", np.nan) for ending in ("low", "p"))
        said = []
        if not pd.isna(low):
            said.append(f"95% interval {shown(low)} to {shown(row[f'{name}_high'])}")
        if not pd.isna(p):
            said.append(f"p = {p_value(p)}".replace("= <", "< "))
        return shown(row[name]) + (f" ({', '.join(said)})" if said else "")

    return [text(row) for _, row in table.iterrows()]


def band(
    axes: Axes,
    position: NDArray[np.int64],
    table: pd.DataFrame,
    name: str,
    color: str,
    **style: Any,
) -> None:
    """Shade intervals.

    Args:
        axes: Where to draw.
        position: The position of each row along the x-axis.
        table: One row per position.
        name: The column whose interval is in ``_low`` and ``_high``.
        color: The colour.
        style: More options of matplotlib's ``fill_between``.
    """
    low, high = _interval(table, name)
    axes.fill_between(position, low, high, color=color, linewidth=0, **style)


def simultaneous_bars(axes: Axes, table: pd.DataFrame, name: str, color: str) -> None:
    """Draw intervals that cover in all layers at once, if they are known.

    Args:
        axes: Where to draw.
        table: One row per layer.
        name: The estimate's column.
        color: The colour.
    """
    if f"{name}_simultaneous_low" in table:
        low, high = _interval(table, f"{name}_simultaneous")
        axes.vlines(
            np.arange(len(table)),
            low,
            high,
            color=color,
            linewidth=1.2,
            label="of all layers at once",
        )


def points_with_bars(
    axes: Axes,
    table: pd.DataFrame,
    name: str,
    places: Sequence[str],
    shown: Format,
    **style: Any,
) -> None:
    """Draw an estimate of each row as a point, with its interval as a bar.

    Args:
        axes: Where to draw.
        table: One row per position.
        name: The estimate's column, with its interval in ``_low`` and ``_high``.
        places: The name of each row.
        shown: Formats a value where a mark is pointed at.
        style: More options of matplotlib's ``errorbar``.
    """
    values = table[name].to_numpy(float)
    low, high = _interval(table, name)
    # Rounding puts an end of no width on the wrong side, which matplotlib refuses.
    lengths = np.stack([values - low, high - values]).clip(min=0)
    position = np.arange(len(table))
    axes.errorbar(position, values, yerr=lengths, fmt="D", color=BLUE, **style)
    texts = [
        f"{place}: {words}"
        for place, words in zip(places, spoken(table, name, shown), strict=True)
    ]
    hover(axes, position, values, texts)


def accuracies(axes: Axes, table: pd.DataFrame) -> None:
    """Draw accuracies with their intervals over the test images.

    Args:
        axes: Where to draw.
        table: One row per accuracy: ``encoder``, ``accuracy``, ``low``, ``high``, and
            ``probe`` if there are several.
    """
    set_labels(axes, "Accuracy, 95% intervals over test images", "accuracy")
    encoders = table["encoder"].astype(str)
    places, ticks = encoders, encoders.map(plain)
    if "probe" in table:
        places, ticks = places + ", " + table["probe"], ticks + "\n" + table["probe"]
    ends = {"low": "accuracy_low", "high": "accuracy_high"}
    points_with_bars(
        axes,
        table.rename(columns=ends),
        "accuracy",
        places.tolist(),
        tenths_of_percent,
        capsize=4,
    )
    axes.set_xticks(range(len(table)), ticks.tolist(), fontsize=9)
    axes.set_xlim(-0.5, len(table) - 0.5)


def sorted_scores(axes: Axes, images: pd.DataFrame) -> None:
    """Draw the scores of images, the most memorised first.

    Args:
        axes: Where to draw.
        images: One row per image, sorted: ``filename`` and ``ssl_mem``, with its
            interval over runs in ``_low`` and ``_high`` if there is one.
    """
    set_labels(
        axes, "SSLMem of images, sorted", "SSLMem in the last layer", "images, sorted"
    )
    rank = np.arange(1, len(images) + 1)
    if "ssl_mem_low" in images:
        called = "95% intervals over runs"
        band(axes, rank, images, "ssl_mem", BLUE, alpha=0.2, label=called)
        legend(axes)
    axes.plot(rank, images["ssl_mem"], color=BLUE, marker=".", lw=1)
    zero_line(axes)
    hover_images(axes, rank, images.assign(score=images["ssl_mem"]))


def hover_images(
    axes: Axes, position: NDArray[Any], images: pd.DataFrame, prefix: str = ""
) -> None:
    """Name the images of a sorted curve; of many, some at even distances.

    Args:
        axes: Where they are drawn.
        position: Their positions along the x-axis.
        images: One row per image: ``filename`` and ``score``.
        prefix: What each text begins with.
    """
    some = thinned(len(images), _MAX_HOVERED)
    named = images.iloc[some]
    texts = [
        f"{prefix}{filename}: {signed(score)}"
        for filename, score in zip(named["filename"], named["score"], strict=True)
    ]
    hover(axes, position[some], named["score"], texts)


def selectivity(axes: Axes, units: pd.DataFrame, metric: str, called: str) -> None:
    """Draw the distribution of a metric over the live units of each layer as boxes.

    Args:
        axes: Where to draw.
        units: One row per unit: ``layer``, ``dead`` and the metric.
        metric: The metric's column.
        called: The metric's name.
    """
    by_layer = units[~units["dead"]].groupby("layer", sort=False)[metric]
    layers = units["layer"].unique().tolist()
    position = np.arange(len(layers))
    values = {name: of.to_numpy() for name, of in by_layer}
    nothing = np.array([], dtype=float)
    boxes = axes.boxplot(
        [values.get(layer, nothing) for layer in layers],
        positions=position,
        widths=0.6,
        patch_artist=True,
        flierprops={
            "markersize": 2,
            "alpha": 0.5,
            "rasterized": len(units) > _MANY_UNITS,
            "zorder": 1.5,
        },
        medianprops={"color": "black"},
        manage_ticks=False,
    )
    for box in boxes["boxes"]:
        box.set(facecolor=BLUE, alpha=0.5)
    layer_ticks(axes, layers)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    quartiles = by_layer.quantile(np.array([0.25, 0.5, 0.75])).unstack().reindex(layers)
    counts = by_layer.size().reindex(layers, fill_value=0)
    texts = [
        f"{layer}, {called} of {count} live units: median {share(median)}, "
        f"quartiles {share(low)} and {share(high)}"
        for layer, count, (low, median, high) in zip(
            layers, counts, quartiles.to_numpy(), strict=True
        )
    ]
    ends = quartiles.to_numpy().T
    # A box without height could not be pointed at.
    lower, upper = ends[0] - 0.01, ends[2] + 0.01
    hover(axes, position - 0.3, lower, texts, until=(position + 0.3, upper))


def _interval(
    table: pd.DataFrame, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return table[f"{name}_low"].to_numpy(float), table[f"{name}_high"].to_numpy(float)
