"""Tables of results as figures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito's colours, which colour-blind people can tell apart.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"


def plot_layer_mem(layers: pd.DataFrame) -> Figure:
    """Plot LayerMem along depth: published, calibrated and symmetric.

    Args:
        layers: A row a layer. The alignment gap is plotted if there is no reference
            encoder.
    """
    figure, axes = _figure(len(layers))
    series = [
        ("layer_mem", "published", _GREY, "o", "--"),
        ("external", "the same on images nobody trained on", _GREY, "x", ":"),
        ("calibrated", "calibrated", _ORANGE, "s", "-"),
        ("symmetric", "symmetric", _BLUE, "D", "-"),
    ]
    if layers["layer_mem"].isna().all():
        series = [("alignment_gap", "alignment gap", _GREEN, "D", "-")]
    position = np.arange(len(layers))
    for name, label, color, marker, line in series:
        if layers[name].notna().any():
            _line(axes, position, layers, name, label, color, marker, line)
    axes.axhline(0, color="black", linewidth=0.8)
    _label_layers(axes, layers["layer"].tolist())
    axes.set_ylabel("memorisation")
    axes.set_title("Memorisation along depth, with 95% intervals")
    axes.legend(frameon=False)
    return figure


def plot_ssl_mem_runs(layers: pd.DataFrame) -> Figure:
    """Plot SSLMem along depth with intervals over runs, against shuffled roles.

    Args:
        layers: A row a layer.
    """
    figure, axes = _figure(len(layers))
    position = np.arange(len(layers))
    for name, label, color, marker, line in (
        ("layer_mem", "published", _GREY, "o", "--"),
        ("shuffled", "with shuffled roles", _GREY, "x", ":"),
        ("ssl_mem", "without the runs' offsets", _BLUE, "D", "-"),
    ):
        _line(axes, position, layers, name, label, color, marker, line)
    axes.axhline(0, color="black", linewidth=0.8)
    _label_layers(axes, layers["layer"].tolist())
    axes.set_ylabel("memorisation")
    runs = int(layers["runs"].iloc[0])
    intervals = " with 95% intervals over runs" if runs > 2 else ""
    axes.set_title(f"Mean of {runs} runs{intervals}")
    axes.legend(frameon=False)
    return figure


def plot_unit_mem(units: pd.DataFrame) -> Figure:
    """Plot the distribution of UnitMem over the live units of each layer.

    Args:
        units: A row a unit.
    """
    layers = units["layer"].unique().tolist()
    figure, axes = _figure(len(layers))
    values = [
        units[(units["layer"] == layer) & ~units["dead"]]["unit_mem"].to_numpy()
        for layer in layers
    ]
    boxes = axes.boxplot(
        values,
        positions=np.arange(len(layers)),
        widths=0.6,
        patch_artist=True,
        flierprops={"markersize": 2, "alpha": 0.5},
        medianprops={"color": "black"},
    )
    for box in boxes["boxes"]:
        box.set(facecolor=_BLUE, alpha=0.5)
    _label_layers(axes, layers)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    axes.set_ylabel("UnitMem")
    axes.set_title("Selectivity of units for single images")
    return figure


def plot_member_share(layers: pd.DataFrame) -> Figure:
    """Plot the share of units of each layer whose winning image is a member.

    Args:
        layers: A row a layer, measured with a holdout.
    """
    figure, axes = _figure(len(layers))
    position = np.arange(len(layers))
    share = layers["member_share"].to_numpy(dtype=float)
    low, high = (
        layers[f"member_share_{end}"].to_numpy(float) for end in ("low", "high")
    )
    axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", label="chance")
    axes.errorbar(
        position,
        share,
        yerr=[share - low, high - share],
        fmt="D",
        color=_BLUE,
        capsize=3,
        label="member share",
    )
    _label_layers(axes, layers["layer"].tolist())
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of units won by a member")
    axes.set_title("Do units prefer training images? (95% intervals)")
    axes.legend(frameon=False)
    return figure


def _line(
    axes: Axes,
    position: NDArray[Any],
    layers: pd.DataFrame,
    name: str,
    label: str,
    color: str,
    marker: str,
    line: str,
) -> None:
    """A line along depth, with its interval as a band where there is one."""
    axes.plot(
        position,
        layers[name].to_numpy(dtype=float),
        color=color,
        marker=marker,
        linestyle=line,
        label=label,
    )
    if f"{name}_low" in layers:
        axes.fill_between(
            position,
            layers[f"{name}_low"].to_numpy(dtype=float),
            layers[f"{name}_high"].to_numpy(dtype=float),
            color=color,
            alpha=0.18,
            linewidth=0,
        )


def _figure(n_layers: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(max(6.0, 0.45 * n_layers + 2), 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _label_layers(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(np.arange(len(names)), names, rotation=45, ha="right")
