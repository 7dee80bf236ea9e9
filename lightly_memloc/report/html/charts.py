"""Interactive charts of layers and units, as Vega-Lite specifications."""

from functools import cache
from typing import Any

import altair as alt
import pandas as pd
from vl_convert import javascript_bundle

from lightly_memloc.results import LayerMemResult, UnitMemResult
from lightly_memloc.results.plots.style import BLUE, GREEN, GREY, ORANGE

_HEIGHT = 320
# Enough to draw; each digit more weighs in a page of 10,000 units.
_DIGITS = 5


@cache
def chart_script() -> str:
    """The script that draws the charts, complete: it loads nothing."""
    version = "_".join(alt.SCHEMA_VERSION.split(".")[:2])
    return str(javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version))


def layer_mem_chart(result: LayerMemResult) -> dict[str, Any]:
    """LayerMem along depth: published, calibrated and symmetric, with intervals.

    Args:
        result: The measurement. The alignment gap is shown if there is no reference
            encoder.
    """
    layers = result.to_pandas()
    series = [
        ("layer_mem", "published", GREY, "circle", [6, 4]),
        ("external", "published, on external images", GREY, "cross", [2, 3]),
        ("calibrated", "calibrated", ORANGE, "square", [1, 0]),
        ("symmetric", "symmetric", BLUE, "diamond", [1, 0]),
    ]
    if layers["layer_mem"].isna().all():
        series = [("alignment_gap", "alignment gap", GREEN, "diamond", [1, 0])]
    series = [of for of in series if layers[of[0]].notna().any()]
    frame = pd.concat(
        [
            pd.DataFrame(
                {
                    "layer": layers["layer"],
                    "estimate": label,
                    "value": layers[name],
                    "low": layers.get(f"{name}_low"),
                    "high": layers.get(f"{name}_high"),
                    "p": layers.get(f"{name}_p"),
                }
            )
            for name, label, *_ in series
        ]
    )
    labels, colors, shapes, dashes = (
        list(of) for of in list(zip(*series, strict=True))[1:]
    )
    chosen = alt.selection_point(fields=["estimate"], bind="legend")
    base = _chart(frame).encode(
        x=_layers(layers),
        color=alt.Color(
            "estimate:N", scale=alt.Scale(domain=labels, range=colors), legend=_legend()
        ),
        opacity=alt.condition(chosen, alt.value(1), alt.value(0.15)),
    )
    value = alt.Y("value:Q", title="memorisation")
    return _finished(
        _layered(
            base.mark_line().encode(
                y=value,
                strokeDash=alt.StrokeDash(
                    "estimate:N",
                    scale=alt.Scale(domain=labels, range=dashes),
                    legend=_legend(),
                ),
            ),
            base.mark_rule().encode(y=alt.Y("low:Q", title=""), y2="high:Q"),
            base.mark_point(filled=True, size=60)
            .encode(
                y=value,
                shape=alt.Shape(
                    "estimate:N",
                    scale=alt.Scale(domain=labels, range=shapes),
                    legend=_legend(),
                ),
                tooltip=[
                    "layer:N",
                    "estimate:N",
                    *(
                        alt.Tooltip(f"{n}:Q", format="+.3f")
                        for n in ("value", "low", "high")
                    ),
                    alt.Tooltip("p:Q", format=".3f"),
                ],
            )
            .add_params(chosen),
        ),
        "LayerMem of each layer, published, calibrated and symmetric",
    )


def unit_mem_chart(result: UnitMemResult) -> dict[str, Any]:
    """The distribution of UnitMem over the live units of each layer.

    Args:
        result: The measurement.
    """
    units = result.to_pandas()
    units = units.loc[~units["dead"], ["layer", "unit_mem"]]
    return _finished(
        _chart(units)
        .mark_boxplot(color=BLUE, size=14, outliers={"size": 8})
        .encode(x=_layers(units), y=alt.Y("unit_mem:Q", title="UnitMem")),
        "UnitMem of the units of each layer",
    )


def member_share_chart(result: UnitMemResult) -> dict[str, Any]:
    """The share of units of each layer that members win, and what chance gives.

    Args:
        result: A measurement with a holdout.
    """
    layers = result.layers_to_pandas().filter(regex="^layer$|^member_share")
    base = _chart(layers).encode(x=_layers(layers))
    share = alt.Y(
        "member_share:Q",
        title="units won by members (grey: by chance)",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%"),
    )

    def column(ending: str) -> alt.Y:
        return alt.Y(f"member_share_{ending}:Q", title="")

    def shown(ending: str, title: str) -> alt.Tooltip:
        return alt.Tooltip(f"member_share{ending}:Q", title=title, format=".0%")

    return _finished(
        _layered(
            base.mark_bar(color=GREY, opacity=0.25, size=18).encode(
                y=column("null_low"), y2="member_share_null_high:Q"
            ),
            base.mark_rule(color=BLUE).encode(
                y=column("low"), y2="member_share_high:Q"
            ),
            base.mark_point(filled=True, size=70, shape="diamond", color=BLUE).encode(
                y=share,
                tooltip=[
                    "layer:N",
                    shown("", "member share"),
                    shown("_low", "from"),
                    shown("_high", "to"),
                    shown("_null_low", "by chance from"),
                    shown("_null_high", "by chance to"),
                ],
            ),
        ),
        "Share of units of each layer won by members; grey what chance gives",
    )


def _chart(frame: pd.DataFrame) -> alt.Chart:
    values = frame.round(_DIGITS).astype(object).where(frame.notna(), None)
    return alt.Chart({"values": values.to_dict("records")})


def _layers(frame: pd.DataFrame) -> alt.X:
    order = frame["layer"].unique().tolist()
    return alt.X("layer:N", sort=order, title=None, axis=alt.Axis(labelAngle=-40))


def _legend() -> alt.Legend:
    return alt.Legend(
        orient="top", columns=2, title=None, labelLimit=0, symbolStrokeWidth=0
    )


def _layered(*charts: alt.Chart) -> alt.LayerChart:
    return alt.LayerChart(layer=list(charts))


def _finished(chart: alt.Chart | alt.LayerChart, description: str) -> dict[str, Any]:
    chart = chart.properties(
        width="container", height=_HEIGHT, description=description
    ).configure(font="system-ui, sans-serif")
    document: dict[str, Any] = chart.configure_axis(
        labelFontSize=12, titleFontSize=12, labelLimit=220
    ).to_dict()
    return document
