"""One encoder along depth: what its layers, their membership and their units show."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightly_memloc.report.charts import line_with_band, simultaneous_bars
from lightly_memloc.report.saved import Saved
from lightly_memloc.report.style import BLUE, GREEN, ORANGE, layer_ticks, set_labels
from lightly_memloc.report.tables import hundredths, percent, signed
from lightly_memloc.results import LayerMemResult, MembershipResult, UnitMemResult

_GAPS = {"adjusted_gap": "adjusted gap", "alignment_gap": "alignment gap"}
_SCORES = ("adjusted_alignment", "alignment")


def draw_depth(saved: Saved) -> Figure | None:
    """Draw the gap, membership and member share of a single encoder, layer by layer.

    Bands are 95% intervals of each layer; bars cover in all layers at once.

    Args:
        saved: What was measured.

    Returns:
        The figure; None if fewer than two of these were measured, or with a reference
        encoder.
    """
    layer_mem = saved.first(LayerMemResult)
    if layer_mem is None or layer_mem.estimate not in _GAPS:
        return None
    names = layer_mem.to_pandas()[["layer"]]
    estimate = layer_mem.estimate
    panels = [(layer_mem.to_pandas(), estimate, _GAPS[estimate], 0.0, GREEN, signed)]
    membership = saved.first(MembershipResult)
    if membership is not None:
        table = membership.to_pandas()
        score = next(of for of in _SCORES if (table["score"] == of).any())
        of_score = table[table["score"] == score]
        panels.append((of_score, "auc", "membership AUC", 0.5, BLUE, hundredths))
    unit_mem = saved.first(UnitMemResult)
    if unit_mem is not None and unit_mem.has_holdout:
        units = unit_mem.layers_to_pandas()
        panels.append((units, "member_share", "member share", 0.5, ORANGE, percent))
    if len(panels) < 2:
        return None
    figure = Figure(figsize=(5.2, 1.6 * len(panels) + 0.8), layout="constrained")
    drawn: list[Axes] = list(figure.subplots(len(panels), 1, sharex=True))
    for axes, (table, name, called, chance, color, shown) in zip(
        drawn, panels, strict=True
    ):
        # Layers of units that have no state are not shown.
        aligned: pd.DataFrame = names.merge(table, on="layer", how="left")
        set_labels(axes, "", called)
        simultaneous_bars(axes, aligned, name, color)
        line_with_band(axes, aligned, name, called, color, "D", shown=shown)
        axes.axhline(chance, color="black", linewidth=0.8, linestyle="--")
    drawn[0].set_title("Layers, membership and units along depth", fontsize=11)
    layer_ticks(drawn[-1], names["layer"].tolist())
    return figure
