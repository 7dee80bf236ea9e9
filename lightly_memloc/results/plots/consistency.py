"""Whether layers memorise the same images."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lightly_memloc.results.plots.style import DIVERGING, layer_ticks, new_figure

_MAX_NUMBERED = 8


def plot_consistency(pairs: pd.DataFrame) -> Figure:
    """Plot Kendall's tau of SSLMem between layers as a heat map.

    Below the diagonal over the candidates, above it over the external images, which
    nobody was trained on: the control.

    Args:
        pairs: A row a pair of layers: ``layer``, ``other``, ``tau``, ``external_tau``.
    """
    layers = list(dict.fromkeys([*pairs["layer"], *pairs["other"]]))
    place = {name: i for i, name in enumerate(layers)}
    tau = np.full((len(layers), len(layers)), np.nan)
    first, second = pairs["layer"].map(place), pairs["other"].map(place)
    tau[second, first] = pairs["tau"]
    tau[first, second] = pairs["external_tau"]
    figure, axes = new_figure("Do layers memorise the same images?", "", (5.4, 4.8))
    axes.spines[:].set_visible(False)
    shown = axes.imshow(tau, cmap=DIVERGING, vmin=-1, vmax=1)
    if len(layers) <= _MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(tau):
            if not np.isnan(value):
                ink = "white" if abs(value) > 0.6 else "black"
                axes.text(
                    column, row, f"{value:.1f}", ha="center", va="center", color=ink
                )
    layer_ticks(axes, layers)
    layer_ticks(axes, layers, vertical=True)
    axes.set_xlabel("below the diagonal candidates, above external images")
    figure.colorbar(shown, ax=axes, label="Kendall's tau of SSLMem", shrink=0.8)
    return figure
