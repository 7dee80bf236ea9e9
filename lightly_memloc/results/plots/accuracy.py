"""Accuracies: of encoders, and what interventions change."""

import pandas as pd
from matplotlib.figure import Figure

from lightly_memloc.results.plots.style import (
    GREY,
    new_figure,
    plain,
    points_with_bars,
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
    places = trials["strategy"].map(
        {name: i for i, name in enumerate(summary["strategy"])}
    )
    changes = 100 * (trials["accuracy"] - trials["baseline"])
    axes.plot(places + 0.18, changes, "o", color=GREY, ms=4, mfc="none")
    points_with_bars(axes, summary.filter(like="change") * 100, "change", capsize=4)
    zero_line(axes)
    axes.set_xticks(range(len(summary)), summary["strategy"])
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
    ends = {"low": "accuracy_low", "high": "accuracy_high"}
    points_with_bars(axes, probes.rename(columns=ends), "accuracy", capsize=4)
    axes.set_xticks(range(len(probes)), labels.tolist(), fontsize=9)
    axes.set_xlim(-0.5, len(probes) - 0.5)
    return figure
