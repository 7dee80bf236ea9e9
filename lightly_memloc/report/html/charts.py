"""Interactive charts of layers and units."""

import pandas as pd
import plotly.graph_objects as go

from lightly_memloc.results import LayerMemResult, UnitMemResult

_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"
_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"}


def layer_mem_chart(result: LayerMemResult) -> go.Figure:
    """LayerMem along depth: published, calibrated and symmetric, with intervals.

    Args:
        result: The measurement. The alignment gap is shown if there is no reference
            encoder.
    """
    layers = result.to_pandas()
    series = [
        ("layer_mem", "published", _GREY, "dash", "circle"),
        ("external", "published, on external images", _GREY, "dot", "x"),
        ("calibrated", "calibrated", _ORANGE, "solid", "square"),
        ("symmetric", "symmetric", _BLUE, "solid", "diamond"),
    ]
    if layers["layer_mem"].isna().all():
        series = [("alignment_gap", "alignment gap", _GREEN, "solid", "diamond")]
    figure = _figure("memorisation", 460)
    for name, label, color, dash, symbol in series:
        if layers[name].notna().any():
            figure.add_scatter(
                x=layers["layer"],
                y=layers[name],
                error_y=_error(layers, name),
                name=label,
                mode="lines+markers",
                line={"color": color, "dash": dash},
                marker={"symbol": symbol, "size": 8},
            )
    return figure


def unit_mem_chart(result: UnitMemResult) -> go.Figure:
    """The distribution of UnitMem over the live units of each layer.

    Args:
        result: The measurement.
    """
    units = result.to_pandas()
    units = units[~units["dead"]]
    figure = _figure("UnitMem", 420)
    for layer, of in units.groupby("layer", sort=False):
        figure.add_box(
            y=of["unit_mem"],
            name=str(layer),
            marker={"color": _BLUE, "size": 3},
            line={"width": 1},
            showlegend=False,
        )
    return figure


def member_share_chart(result: UnitMemResult) -> go.Figure:
    """The share of units of each layer that members win, and what chance gives.

    Args:
        result: A measurement with a holdout.
    """
    layers = result.layers_to_pandas()
    figure = _figure("units won by members", 420)
    for end, fill, legend in (("high", None, False), ("low", "tonexty", True)):
        figure.add_scatter(
            x=layers["layer"],
            y=layers[f"member_share_null_{end}"],
            name="95% of shares by chance",
            mode="lines",
            line={"width": 0, "shape": "hvh"},
            fill=fill,
            fillcolor="rgba(110, 110, 110, 0.25)",
            hoverinfo="skip",
            showlegend=legend,
        )
    figure.add_scatter(
        x=layers["layer"],
        y=layers["member_share"],
        error_y=_error(layers, "member_share"),
        name="member share",
        mode="markers",
        marker={"symbol": "diamond", "size": 9, "color": _BLUE},
    )
    figure.update_yaxes(tickformat=".0%", range=[0, 1.04])
    return figure


def _figure(ylabel: str, height: int) -> go.Figure:
    return go.Figure(
        layout={
            "template": "plotly_white",
            "font": _FONT,
            "height": height,
            "margin": {"l": 60, "r": 10, "t": 10, "b": 10},
            "yaxis": {"title": ylabel, "automargin": True},
            "xaxis": {"automargin": True, "tickangle": -40, "type": "category"},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "closest",
        }
    )


def _error(table: pd.DataFrame, name: str) -> dict[str, object] | None:
    """Error bars of an estimate that has an interval."""
    if f"{name}_low" not in table:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": table[f"{name}_high"] - table[name],
        "arrayminus": table[name] - table[f"{name}_low"],
        "thickness": 1,
        "width": 3,
    }
