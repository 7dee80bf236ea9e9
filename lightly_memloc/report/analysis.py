"""How results compared with each other are shown: layers, images and units."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.report.charts import along_depth
from lightly_memloc.report.report import REPORTS, Drawing, Report, Step
from lightly_memloc.report.style import (
    BLUE,
    DIVERGING,
    GREY,
    MAX_TICKS,
    SEQUENTIAL,
    layer_ticks,
    set_labels,
    short_names,
    thinned,
)
from lightly_memloc.report.svg import hover
from lightly_memloc.report.tables import (
    Table,
    formatted,
    interval,
    make_table,
    number,
    p_of,
    percent,
    share,
    signed,
    text,
)
from lightly_memloc.results import AnalysisResult

_MAX_NUMBERED = 8
_MAX_HOVERED_UNITS = 300
_hundredths = formatted("+.2f")


@REPORTS.register(AnalysisResult.kind)
class AnalysisReport(Report[AnalysisResult]):
    """Shows layers, images and units compared."""

    rank = 60
    made_by = (Step("Do layers, images and units agree?", "analyze"),)

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Layers, images and units compared"

    def tables(self) -> list[Table]:
        """Return a table for each comparison that was made."""
        tables = self.result.to_pandas()
        makers = {
            "consistency": _consistency,
            "atypical": _atypical,
            "atypical_units": _atypical_units,
            "units_won": _units_won,
            "unit_class": _unit_class,
        }
        return [make(tables[name]) for name, make in makers.items() if name in tables]

    def words(self) -> str:
        """Say whether layers agree, and whether units favour images or classes."""
        tables, said = self.result.to_pandas(), []
        if "consistency" in tables:
            said.append(_agreement(tables["consistency"]))
        if "unit_class" in tables:
            whole = tables["unit_class"].iloc[-1]
            said.append(
                f"{whole['above']:.0%} of {int(whole['units'])} units are more selective "
                "for one image than for a class (UnitMem above ClassMem). So are most "
                "units of any encoder, because a class mean averages over many images: "
                "compare encoders."
            )
        return " ".join(said)

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``consistency`` and ``atypical``, and ``unit_class``, as measured."""
        tables = self.result.to_pandas()
        drawings = {
            "consistency": ("consistency", draw_consistency),
            "atypical": ("atypical", draw_atypical),
            "unit_class": ("units", draw_unit_class),
        }
        return {
            name: partial(draw, tables[table])
            for name, (table, draw) in drawings.items()
            if table in tables
        }


def _agreement(pairs: pd.DataFrame) -> str:
    neighbours = pairs[pairs["distance"] == 1]
    farthest = pairs[pairs["distance"] == pairs["distance"].max()]
    if neighbours["tau"].isna().all():
        return "Layers cannot be compared: SSLMem is the same for all images."
    external = neighbours["external_tau"].mean()
    control = (
        ""
        if pd.isna(external)
        else f" On external images, unseen by both encoders, neighbouring layers agree "
        f"with {external:+.2f}: this much agreement comes from the images themselves."
    )
    return (
        "In their ranking of images, neighbouring layers agree with a Kendall's tau of "
        f"{neighbours['tau'].mean():+.2f}, the layers farthest apart with "
        f"{farthest['tau'].mean():+.2f}.{control}"
    )


def _consistency(pairs: pd.DataFrame) -> Table:
    means = ["overlap", "chance", "tau", "external_tau"]
    by_distance = pairs.groupby("distance")
    return make_table(
        "Do layers memorise the same images? By distance between them",
        by_distance[means].mean().assign(pairs=by_distance.size()).reset_index(),
        [
            text("distance", "layers apart"),
            number("pairs", str),
            number("overlap", percent),
            number("chance", percent, "by chance"),
            number("tau", signed),
            number("external_tau", signed, "tau of external images"),
        ],
    )


def _atypical(layers: pd.DataFrame) -> Table:
    if "external_difference" not in layers:
        layers = layers.assign(external_difference=np.nan)
    return make_table(
        "The most against the least memorised images (SSLMem)",
        layers,
        [
            text("layer"),
            number("most", signed),
            number("least", signed),
            # Under its own name the difference leaves no room for bars.
            number("difference", signed, "gap"),
            interval("difference"),
            p_of("t"),
            number("external_difference", signed, "external"),
        ],
        bar="difference",
    )


def _atypical_units(layers: pd.DataFrame) -> Table:
    return make_table(
        "Units won by the most and the least memorised images",
        layers,
        [
            text("layer"),
            number("units_most", str, "most win"),
            number("units_least", str, "least win"),
            number("unit_mem_most", share, "UnitMem, most"),
            number("unit_mem_least", share, "UnitMem, least"),
            p_of("t"),
        ],
    )


def _units_won(layers: pd.DataFrame) -> Table:
    return make_table(
        "SSLMem of images that win units, and of others",
        layers,
        [
            text("layer"),
            number("units", str),
            number("images", str),
            number("winners", signed),
            number("others", signed),
            p_of("difference"),
            number("tau", signed),
            p_of("tau"),
        ],
        bar="tau",
        full=1.0,
    )


def _unit_class(layers: pd.DataFrame) -> Table:
    return make_table(
        "Units tied to an image (UnitMem) or to a class (ClassMem)",
        layers,
        [
            text("layer"),
            number("units", str),
            number("unit_mem", share, "UnitMem"),
            number("class_mem", share, "ClassMem"),
            number("above", percent),
            interval("above", percent),
            number("tau", signed),
        ],
        bar="unit_mem",
        full=1.0,
    )


def draw_consistency(pairs: pd.DataFrame, axes: Axes) -> None:
    """Draw Kendall's tau of SSLMem between layers as a heat map.

    Below the diagonal over the candidates, above it over the external images, unseen by
    both encoders: the control.

    Args:
        pairs: One row per pair of layers: ``layer``, ``other``, ``tau``,
            ``external_tau``.
        axes: Where to draw.
    """
    layers = list(dict.fromkeys([*pairs["layer"], *pairs["other"]]))
    place = {name: i for i, name in enumerate(layers)}
    tau = np.full((len(layers), len(layers)), np.nan)
    first, second = pairs["layer"].map(place), pairs["other"].map(place)
    tau[second, first] = pairs["tau"]
    tau[first, second] = pairs["external_tau"]
    set_labels(
        axes,
        "Do layers memorise the same images?",
        xlabel="below the diagonal candidates, above external images",
    )
    axes.spines[:].set_visible(False)
    shown = axes.imshow(tau, cmap=DIVERGING, vmin=-1, vmax=1)
    if len(layers) <= _MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(tau):
            if not np.isnan(value):
                ink = "white" if abs(value) > 0.6 else "black"
                axes.text(
                    column, row, f"{value:.1f}", ha="center", va="center", color=ink
                )
    layer_ticks(axes, layers, vertical=True)
    if len(layers) <= MAX_TICKS:
        layer_ticks(axes, layers)
    else:
        # Columns are in the order of rows; two sets of long names leave no room.
        axes.set_xticks([])
    axes.figure.colorbar(shown, ax=axes, label="Kendall's tau of SSLMem", shrink=0.8)
    rows, columns = np.nonzero(~np.isnan(tau))
    texts = [
        f"{layers[column]} and {layers[row]}, "
        f"{'candidates' if row > column else 'external images'}: "
        f"{_hundredths(tau[row, column])}"
        for row, column in zip(rows, columns, strict=True)
    ]
    hover(axes, columns - 0.5, rows - 0.5, texts, until=(columns + 0.5, rows + 0.5))


def draw_atypical(layers: pd.DataFrame, axes: Axes) -> None:
    """Draw how far the most memorised images are from the least, in each layer.

    Args:
        layers: One row per layer: ``difference``, and that of external images, if any.
        axes: Where to draw.
    """
    set_labels(
        axes,
        "The most against the least memorised images",
        "difference in SSLMem",
    )
    series = [
        ("external_difference", "external images", GREY, "x", ":"),
        ("difference", "candidates", BLUE, "D", "-"),
    ]
    along_depth(axes, layers, [of for of in series if of[0] in layers])


def draw_unit_class(units: pd.DataFrame, axes: Axes) -> None:
    """Draw UnitMem against ClassMem; units above the diagonal favour one image.

    An SVG file names the units of the highest UnitMem.

    Args:
        units: One row per live unit: ``layer``, ``unit``, ``unit_mem``, ``class_mem``.
        axes: Where to draw.
    """
    set_labels(axes, "Units tied to an image, or to a class", "UnitMem", "ClassMem")
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
        # Thousands of points weigh less as pixels.
        rasterized=True,
    )
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    bar = axes.figure.colorbar(points, ax=axes)
    shown = thinned(len(layers))
    names = short_names(layers)
    bar.set_ticks(shown, labels=[names[i] for i in shown], fontsize=9)
    named = units.nlargest(_MAX_HOVERED_UNITS, "unit_mem")
    texts = [
        f"{layer}, unit {unit}: UnitMem {share(unit_mem)}, ClassMem {share(class_mem)}"
        for layer, unit, unit_mem, class_mem in zip(
            *(named[name] for name in ("layer", "unit", "unit_mem", "class_mem")),
            strict=True,
        )
    ]
    hover(axes, named["class_mem"], named["unit_mem"], texts)
