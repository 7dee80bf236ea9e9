"""Images, by how much they are memorised."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lightly_memloc.results.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    band,
    legend,
    new_figure,
    plain,
    zero_line,
)


def plot_sorted_ssl_mem(samples: pd.DataFrame, layer: str) -> Figure:
    """Plot SSLMem of the images of each role, sorted.

    Args:
        samples: A row an image: ``role``, and SSLMem in a column of the layer's name.
        layer: The layer.
    """
    figure, axes = new_figure("SSLMem of images, sorted", f"SSLMem in {plain(layer)}")
    for role, color, line in (
        ("candidate", BLUE, "-"),
        ("independent", ORANGE, "--"),
        ("external", GREY, ":"),
    ):
        scores = np.sort(samples.loc[samples["role"] == role, layer])[::-1]
        if len(scores):
            share = 100 * (np.arange(len(scores)) + 0.5) / len(scores)
            axes.plot(share, scores, color=color, linestyle=line, lw=2, label=role)
    zero_line(axes)
    axes.set_xlabel("images, in per cent of their role")
    axes.set_xlim(0, 100)
    legend(axes)
    return figure


def plot_sorted_scores(images: pd.DataFrame) -> Figure:
    """Plot the scores of images, the most memorised first.

    Args:
        images: A row an image, sorted: ``ssl_mem``, with its interval over runs in
            ``_low`` and ``_high`` if it has one.
    """
    figure, axes = new_figure("SSLMem of images, sorted", "SSLMem in the last layer")
    rank = np.arange(1, len(images) + 1)
    if "ssl_mem_low" in images:
        label = "95% intervals over runs"
        band(axes, rank, images, "ssl_mem", BLUE, alpha=0.2, label=label)
        legend(axes)
    axes.plot(rank, images["ssl_mem"], color=BLUE, marker=".", lw=1)
    zero_line(axes)
    axes.set_xlabel("images, sorted")
    return figure
