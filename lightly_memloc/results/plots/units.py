"""Units: how selective they are, and for which images."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightly_memloc.results.plots.style import (
    BLUE,
    GREY,
    SEQUENTIAL,
    band,
    layer_ticks,
    legend,
    new_figure,
    points_with_bars,
    short_names,
    thinned,
)

# The lightest end of the colours is too light for lines on white.
_DARK_ENOUGH = 0.85


def plot_selectivity(
    units: pd.DataFrame, metric: str, label: str, title: str
) -> Figure:
    """Plot the distribution of UnitMem or ClassMem over the live units of each layer.

    Args:
        units: A row a unit.
        metric: The column of units.
        label: The metric's name.
        title: What it tells.
    """
    figure, axes = new_figure(title, label)
    by_layer = units[~units["dead"]].groupby("layer", sort=False)[metric]
    layers = units["layer"].unique().tolist()
    values = dict(iter(by_layer))
    boxes = axes.boxplot(
        [values.get(layer, pd.Series(dtype=float)).to_numpy() for layer in layers],
        positions=np.arange(len(layers)),
        widths=0.6,
        patch_artist=True,
        flierprops={"markersize": 2, "alpha": 0.5},
        medianprops={"color": "black"},
        manage_ticks=False,
    )
    for box in boxes["boxes"]:
        box.set(facecolor=BLUE, alpha=0.5)
    layer_ticks(axes, layers)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    return figure


def plot_member_share(layers: pd.DataFrame) -> Figure:
    """Plot the share of units of each layer whose winning image is a member.

    Args:
        layers: A row a layer, measured with a holdout.
    """
    figure, axes = new_figure(
        "Do units prefer training images? 95% intervals", "units won by members"
    )
    band(
        axes,
        np.arange(len(layers)),
        layers,
        "member_share_null",
        GREY,
        alpha=0.25,
        step="mid",
        label="95% of shares by chance",
    )
    axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--")
    points_with_bars(axes, layers, "member_share", capsize=3, label="member share")
    layer_ticks(axes, layers["layer"].tolist())
    axes.set_ylim(0, 1.04)
    legend(axes)
    return figure


def plot_unit_class(units: pd.DataFrame) -> Figure:
    """Plot UnitMem against ClassMem: units above the diagonal are tied to an image.

    Args:
        units: A row a live unit: ``layer``, ``unit_mem``, ``class_mem``.
    """
    figure, axes = new_figure("Units tied to an image, or to a class", "UnitMem")
    layers = units["layer"].unique().tolist()
    depth = units["layer"].map({name: i for i, name in enumerate(layers)})
    points = axes.scatter(
        units["class_mem"],
        units["unit_mem"],
        c=depth,
        cmap=SEQUENTIAL,
        s=9,
        alpha=0.8,
        linewidths=0,
        # Thousands of points: as pixels, or the drawing weighs megabytes.
        rasterized=True,
    )
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="ClassMem")
    bar = figure.colorbar(points, ax=axes)
    shown = thinned(len(layers))
    names = short_names(layers)
    bar.set_ticks(shown, labels=[names[i] for i in shown], fontsize=9)
    return figure


def plot_unit_mem_epochs(units: pd.DataFrame) -> Figure:
    """Plot the mean UnitMem of each layer over the epochs of a training.

    Args:
        units: A row an epoch and layer: ``epoch``, ``layer``, ``mean``.
    """
    figure, axes = new_figure("UnitMem in training, mean of each layer", "UnitMem")
    layers = units["layer"].unique().tolist()
    colors = colormaps[SEQUENTIAL](np.linspace(0, _DARK_ENOUGH, len(layers)))
    labelled = thinned(len(layers))
    for i, (layer, name) in enumerate(zip(layers, short_names(layers), strict=True)):
        of = units[units["layer"] == layer]
        axes.plot(
            of["epoch"],
            of["mean"],
            color=colors[i],
            marker="o",
            ms=3,
            label=name if i in labelled else None,
        )
    axes.set_xlabel("epoch")
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def plot_unit_tuning(layers: pd.DataFrame) -> Figure:
    """Plot mean UnitMem of units before and after each was tuned to an image.

    Args:
        layers: A row a layer.
    """
    figure, axes = new_figure("Units, each tuned to one image", "UnitMem")
    position = np.arange(len(layers))
    axes.vlines(position, layers["before"], layers["after"], color=GREY)
    axes.plot(position, layers["before"], "o", color=GREY, label="before", mfc="white")
    axes.plot(position, layers["after"], "D", color=BLUE, label="after")
    layer_ticks(axes, layers["layer"].tolist())
    axes.set_ylim(0, 1.2)
    axes.set_yticks(np.linspace(0, 1, 6))
    legend(axes, ncols=2, loc="upper right")
    return figure
