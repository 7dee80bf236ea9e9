"""Estimates of layers, along depth."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightly_memloc.results.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    layer_ticks,
    legend,
    line_with_band,
    new_figure,
    zero_line,
)

# Column, label, color, marker and line style.
_Series = tuple[str, str, str, str, str]


def plot_layer_mem(layers: pd.DataFrame) -> Figure:
    """Plot LayerMem along depth: published, calibrated and symmetric.

    Args:
        layers: A row a layer. The alignment gap is plotted if there is no reference
            encoder.
    """
    figure, axes = new_figure("Memorisation along depth, 95% intervals", "memorisation")
    series = [
        ("layer_mem", "published", GREY, "o", "--"),
        ("external", "published, on external images", GREY, "x", ":"),
        ("calibrated", "calibrated", ORANGE, "s", "-"),
        ("symmetric", "symmetric", BLUE, "D", "-"),
    ]
    if layers["layer_mem"].isna().all():
        series = [("alignment_gap", "alignment gap", GREEN, "D", "-")]
    _along_depth(axes, layers, [of for of in series if layers[of[0]].notna().any()])
    return figure


def plot_sublayers(layers: pd.DataFrame, estimate: str) -> Figure:
    """Plot what attention and what the MLP of each block adds to memorisation.

    Args:
        layers: A row a layer of a vision transformer.
        estimate: The estimate whose steps are plotted, from ``<estimate>_delta``.
    """
    name = "delta" if estimate == "layer_mem" else f"{estimate}_delta"
    label = "published" if estimate == "layer_mem" else estimate
    figure, axes = new_figure(
        "What attention and MLP add, by block", f"step of {label} LayerMem"
    )
    for kind, color, marker in (("attention", ORANGE, "s"), ("mlp", BLUE, "D")):
        steps = layers[layers["kind"] == kind].reset_index(drop=True)
        label = {"attention": "attention", "mlp": "MLP"}[kind]
        line_with_band(axes, steps, name, label, color, marker)
    zero_line(axes)
    blocks = layers.loc[layers["kind"] == "mlp", "layer"].str.replace(".mlp", "")
    layer_ticks(axes, blocks.tolist())
    legend(axes)
    return figure


def plot_ssl_mem_runs(layers: pd.DataFrame) -> Figure:
    """Plot SSLMem along depth with intervals over runs, against shuffled roles.

    Args:
        layers: A row a layer.
    """
    runs = int(layers["runs"].iloc[0])
    intervals = ", 95% intervals over runs" if runs > 2 else ""
    figure, axes = new_figure(f"Mean of {runs} runs{intervals}", "memorisation")
    series = [
        ("layer_mem", "published", GREY, "o", "--"),
        ("shuffled", "with shuffled roles", GREY, "x", ":"),
        ("ssl_mem", "without the runs' offsets", BLUE, "D", "-"),
    ]
    _along_depth(axes, layers, series)
    return figure


def plot_membership(layers: pd.DataFrame) -> Figure:
    """Plot how well each layer tells members from others.

    Args:
        layers: A row a score and layer.
    """
    figure, axes = new_figure(
        "Do layers give members away? 95% intervals", "AUC, members against others"
    )
    for score, label, color, marker in (
        ("alignment", "alignment of the encoder alone", ORANGE, "s"),
        ("ssl_mem", "SSLMem", BLUE, "D"),
    ):
        of = layers[layers["score"] == score].reset_index(drop=True)
        if len(of):
            line_with_band(axes, of, "auc", label, color, marker)
    axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", label="chance")
    layer_ticks(axes, layers["layer"].unique().tolist())
    legend(axes)
    return figure


def plot_retrained(layers: pd.DataFrame) -> Figure:
    """Plot LayerMem of an encoder and of those trained without some of its images.

    Args:
        layers: A row a layer.
    """
    figure, axes = new_figure("After training without images", "calibrated LayerMem")
    series = [
        ("original", "before", GREY, "o", "--"),
        ("without_random", "without random images", ORANGE, "s", "-"),
        ("without_memorized", "without the most memorised", BLUE, "D", "-"),
    ]
    _along_depth(axes, layers, series)
    return figure


def plot_atypical(layers: pd.DataFrame) -> Figure:
    """Plot how far the most memorised images are from the least, in each layer.

    Args:
        layers: A row a layer: ``difference``, and that of external images, if any.
    """
    figure, axes = new_figure(
        "The most against the least memorised images", "difference in SSLMem"
    )
    series = [
        ("external_difference", "external images", GREY, "x", ":"),
        ("difference", "candidates", BLUE, "D", "-"),
    ]
    _along_depth(axes, layers, [of for of in series if of[0] in layers])
    return figure


def _along_depth(axes: Axes, layers: pd.DataFrame, series: Sequence[_Series]) -> None:
    """Draw estimates of layers, with what each is called and drawn with."""
    for name, label, color, marker, line in series:
        line_with_band(axes, layers, name, label, color, marker, line)
    zero_line(axes)
    layer_ticks(axes, layers["layer"].tolist())
    legend(axes)
