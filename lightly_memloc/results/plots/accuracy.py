"""Accuracies: of encoders, and what interventions change."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lightly_memloc.results.plots.style import (
    BLUE,
    GREY,
    interval_bars,
    new_figure,
    plain,
    zero_line,
)


def plot_intervention(
    summary: pd.DataFrame, trials: pd.DataFrame, intervention: str
) -> Figure:
    """Plot the change in accuracy by strategy, with each trial as a point.

    Args:
        summary: A row a strategy.
        trials: A row a strategy and trial.
        intervention: Its name.
    """
    figure, axes = new_figure(
        f"{intervention}: mean over trials, 95% interval",
        "change in accuracy, in points",
    )
    position = np.arange(len(summary))
    places = trials["strategy"].map(
        {name: i for i, name in enumerate(summary["strategy"])}
    )
    changes = 100 * (trials["accuracy"] - trials["baseline"])
    axes.plot(places + 0.18, changes, "o", color=GREY, ms=4, mfc="none")
    points = summary.filter(like="change") * 100
    axes.errorbar(
        position,
        points["change"],
        yerr=interval_bars(points, "change", "change_low", "change_high"),
        fmt="D",
        color=BLUE,
        capsize=4,
    )
    zero_line(axes)
    axes.set_xticks(position, summary["strategy"])
    axes.set_xlim(-0.5, len(summary) - 0.5)
    return figure


def plot_probes(probes: pd.DataFrame) -> Figure:
    """Plot accuracies with their intervals over the test images.

    Args:
        probes: A row an accuracy: ``encoder``, ``accuracy``, ``low``, ``high``, and
            ``probe`` if there are several.
    """
    figure, axes = new_figure("Accuracy, 95% intervals over test images", "accuracy")
    labels = probes["encoder"].astype(str).map(plain)
    if "probe" in probes:
        labels = labels + "\n" + probes["probe"]
    position = np.arange(len(probes))
    axes.errorbar(
        position,
        probes["accuracy"],
        yerr=interval_bars(probes, "accuracy", "low", "high"),
        fmt="D",
        color=BLUE,
        capsize=4,
    )
    axes.set_xticks(position, labels.tolist(), fontsize=9)
    axes.set_xlim(-0.5, len(probes) - 0.5)
    return figure
