"""How UnitMem is shown, of one measurement and over the epochs of a training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.blind import differing
from lightly_memloc.report.charts import band, points_with_bars, selectivity
from lightly_memloc.report.report import (
    LEVEL,
    REPORTS,
    Drawing,
    Report,
    Step,
    adjusted_p,
    found_above,
    largest,
)
from lightly_memloc.report.style import (
    GREY,
    SEQUENTIAL,
    layer_ticks,
    legend,
    new_axes,
    set_labels,
    short_names,
    thinned,
)
from lightly_memloc.report.svg import hover
from lightly_memloc.report.tables import (
    UNITS,
    Field,
    Table,
    adjusted_p_of,
    interval,
    make_table,
    number,
    percent,
    share,
    signed,
    text,
)
from lightly_memloc.results import Result, UnitMemResult, refuse_incomparable

# The lightest end of the colours is too light for lines on white.
_DARK_ENOUGH = 0.85
_QUESTION = "Which units are selective for which images?"


# The level at which non-members count as winning more units. It warns of sets that differ
# in kind, which takes clearer evidence than memorisation.
_SURPRISE = 0.01


@REPORTS.register(UnitMemResult.kind)
class UnitMemReport(Report[UnitMemResult]):
    """Shows UnitMem."""

    rank = 30
    made_by = (Step(_QUESTION, "unit-mem"), Step(_QUESTION, "unit-mem", "encoder"))

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Units"

    def tables(self) -> list[Table]:
        """Return the tables of layers and of the units of the highest UnitMem."""
        layers = self.result.layers_to_pandas()
        title, fields = "UnitMem", [*UNITS, number("mean", share)]
        if {"null", "agreement", "weak"} <= {*layers}:
            title += (
                ", its null, and units whose winner both halves of the views agree on"
            )
            fields += [
                number("null", share),
                number("agreement", percent, "agree"),
                number("weak", str),
            ]
        tables = [make_table(title, layers, fields, bar="mean", full=1.0)]
        if self.result.has_holdout:
            tables += self._against_holdout(layers)
        units = self.result.to_pandas()
        live = units[~units["dead"]].sort_values("unit_mem", ascending=False)
        top: list[Field] = [
            text("layer"),
            number("unit", str),
            number("unit_mem", share, "UnitMem"),
        ]
        if "agreement" in units:
            of_halves = live["agreement"].map({1.0: "same", 0.0: "other"})
            live = live.assign(halves=of_halves.fillna("-"))
            top += [text("halves")]
        top += [text("filename", "image")]
        return [
            *tables,
            make_table("The units of the highest UnitMem", live.head(10), top),
        ]

    def _against_holdout(self, layers: pd.DataFrame) -> list[Table]:
        tables = []
        for name, called, shown, title in (
            ("member_share", "members", percent, "Units won by members"),
            ("gap", "gap", signed, "Gap: UnitMem on members minus on others"),
        ):
            fields = [
                text("layer"),
                number(name, shown, called),
                interval(name, shown),
                adjusted_p_of(name, layers),
            ]
            if self.result.has_reference:
                title += ", mean of f and of g with exchanged roles"
                fields.append(number(f"{name}_f", shown, "f alone"))
            elif name == "member_share" and "matched_share" in layers:
                fields.append(number("matched_share", shown, "alike"))
                fields.append(adjusted_p_of("matched_share", layers))
            tables.append(make_table(title, layers, fields))
        return tables

    def words(self) -> str:
        """Say whether units prefer images that the encoder was trained on."""
        if not self.result.has_holdout:
            return (
                "UnitMem measures how selective units are. Units are also selective for "
                "images that the encoder never saw, so without a holdout nothing can be "
                "concluded about memorisation."
            )
        if self.result.differs_in_kind:
            return differing(self.result.settings["blind"])
        return self._preference()

    def _preference(self) -> str:
        """Say whether members win more units than expected by chance."""
        layers = self.result.layers_to_pandas()
        found = found_above(layers, "member_share", chance=0.5)
        tested, n_layers = f"adjusted p < {LEVEL}", len(layers)
        averaged = (
            " Images that win units of both encoders cancel: this is the mean share of f "
            "and of g with exchanged roles."
            if self.result.has_reference
            else ""
        )
        if len(found):
            most = largest(found, "member_share")
            # The first results of version 0.1.0 do not know it.
            by_chance = (
                f", where 95% of shares by chance are between "
                f"{most['member_share_null_low']:.0%} and "
                f"{most['member_share_null_high']:.0%}"
                if "member_share_null_low" in found
                else ""
            )
            return (
                f"Members win more units than expected by chance ({tested}) in "
                f"{len(found)} of {n_layers} layers. The largest share is that of "
                f"{most['layer']}: {most['member_share']:.0%}{by_chance}.{averaged}"
            )
        is_below = adjusted_p(layers, "member_share") < _SURPRISE
        surpassed = layers[is_below & (layers["member_share"] < 0.5)]
        if len(surpassed):
            return (
                "Holdout images win more units than expected by chance (adjusted p < "
                f"{_SURPRISE}) in {len(surpassed)} of {n_layers} layers. Members and "
                f"holdout may differ in kind; then nothing can be concluded.{averaged}"
            )
        highest = layers["member_share_high"].max()
        return (
            f"Members do not win more units than expected by chance ({tested}) in any of "
            f"{n_layers} layers. This does not rule out memorisation: the intervals of "
            f"the member share reach up to {highest:.0%}.{averaged}"
        )

    def measured(self) -> str:
        """Say how many units were measured on how many images."""
        units = len(self.result.to_pandas())
        return (
            f"UnitMem: how selective each of {units:,} units is for the one image that "
            f"activates it most, of {self.result.settings['images']:,}."
        )

    def limits(self) -> list[str]:
        """Say what a high UnitMem does not show."""
        said = [
            "A high UnitMem alone does not show memorisation: units are also selective "
            "for images that the encoder never saw.",
            "UnitMem depends on the numbers of images and views and on the "
            "rectification. Compare only results in which they are the same.",
        ]
        units = self.result.to_pandas()
        if "agreement" in units and units["agreement"].notna().any():
            changed = 1 - units["agreement"].mean()
            said.append(
                f"The image that wins a unit depends on the views: it differs between two "
                f"halves of the views in {changed:.0%} of the live units."
            )
        if self.result.has_holdout:
            said.append(
                "Members and holdout must come from one distribution: any encoder "
                "separates images that were collected or compressed differently."
            )
        return said + super().limits()

    @property
    def tested_layers(self) -> int:
        """How many layers are tested: none without a holdout."""
        return len(self.result.layers_to_pandas()) if self.result.has_holdout else 0

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``unit_mem``, and ``member_share`` if there is a holdout."""
        drawings: dict[str, Drawing] = {"unit_mem": self._draw_units}
        if self.result.has_holdout:
            drawings["member_share"] = self._draw_member_share
        return drawings

    def _draw_units(self, axes: Axes) -> None:
        set_labels(axes, "Selectivity of units for single images", "UnitMem")
        selectivity(axes, self.result.to_pandas(), "unit_mem", "UnitMem")

    def _draw_member_share(self, axes: Axes) -> None:
        layers = self.result.layers_to_pandas()
        set_labels(
            axes,
            "Do units prefer training images? 95% intervals",
            "units won by members",
        )
        if "member_share_null_low" in layers:
            band(
                axes,
                np.arange(len(layers)),
                layers,
                "member_share_null",
                GREY,
                alpha=0.25,
                step="mid",
                label="95% of shares by chance",
            )
        axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--")
        points_with_bars(
            axes,
            layers,
            "member_share",
            [f"{layer}, member share" for layer in layers["layer"]],
            percent,
            capsize=3,
            label="member share",
        )
        layer_ticks(axes, layers["layer"].tolist())
        axes.set_ylim(0, 1.04)
        legend(axes)


def plot_epochs(
    results: Sequence[Result], ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Plot the mean UnitMem of each layer over the epochs of a training.

    Args:
        results: What a callback measured; results other than UnitMem are ignored.
        ax: The axes to draw on; by default those of a new figure.

    Returns:
        The figure and its axes.

    Raises:
        MemorizationError: If UnitMem was not measured, or epochs differ in the numbers
            of images or views or in the rectification.
    """
    tables = [
        result.layers_to_pandas().assign(epoch=result.settings["epoch"])
        for result in results
        if isinstance(result, UnitMemResult)
    ]
    if not tables:
        raise MemorizationError(
            "UnitMem was not measured in training: there is nothing to plot over epochs."
        )
    refuse_incomparable([of for of in results if isinstance(of, UnitMemResult)])
    axes = new_axes() if ax is None else ax
    units = pd.concat(tables, ignore_index=True)
    set_labels(axes, "UnitMem in training, mean of each layer", "UnitMem", "epoch")
    layers = units["layer"].unique().tolist()
    colors = colormaps[SEQUENTIAL](np.linspace(0, _DARK_ENOUGH, len(layers)))
    labelled = thinned(len(layers))
    for i, (layer, name) in enumerate(zip(layers, short_names(layers), strict=True)):
        of = units[units["layer"] == layer]
        axes.plot(
            of["epoch"],
            of["mean"],
            color=colors[i],
            marker="o",
            ms=3,
            label=name if i in labelled else None,
        )
        texts = [
            f"{layer}, epoch {epoch}: {share(mean)}"
            for epoch, mean in zip(of["epoch"], of["mean"], strict=True)
        ]
        hover(axes, of["epoch"], of["mean"], texts)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure = axes.figure.figure
    if ax is None:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    else:
        axes.legend(frameon=False, fontsize=9)
    return figure, axes
