"""How UnitMem is shown, of one measurement and over the epochs of a training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.charts import band, points_with_bars, selectivity
from lightly_memloc.report.report import (
    LEVEL,
    REPORTS,
    Drawing,
    Report,
    Step,
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
    make_table,
    number,
    p_of,
    percent,
    share,
    signed,
    text,
)
from lightly_memloc.results import Result, UnitMemResult

# The lightest end of the colours is too light for lines on white.
_DARK_ENOUGH = 0.85
_QUESTION = "Which units are selective for which images?"


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
        title, fields = "UnitMem", [*UNITS, number("mean", share)]
        if self.result.has_holdout:
            title += "; share of units won by members, and gap, against a holdout"
            fields += [
                number("member_share", percent, "members"),
                p_of("member_share"),
                number("gap", signed),
                p_of("gap"),
            ]
        units = self.result.to_pandas()
        live = units[~units["dead"]].sort_values("unit_mem", ascending=False)
        top: list[Field] = [
            text("layer"),
            number("unit", str),
            number("unit_mem", share, "UnitMem"),
            text("filename", "image"),
        ]
        layers = self.result.layers_to_pandas()
        return [
            make_table(title, layers, fields, bar="mean", full=1.0),
            make_table("The units of the highest UnitMem", live.head(10), top),
        ]

    def words(self) -> str:
        """Say whether units prefer images that the encoder was trained on."""
        if not self.result.has_holdout:
            return (
                "UnitMem measures how selective units are. Units are also selective for "
                "images that the encoder never saw, so without a holdout nothing can be "
                "concluded about memorisation."
            )
        layers = self.result.layers_to_pandas()
        found = found_above(layers, "member_share", chance=0.5)
        if len(found):
            most = largest(found, "member_share")
            return (
                f"Members win more units than expected by chance (p < {LEVEL}) in "
                f"{len(found)} of {len(layers)} layers, most in {most['layer']}: "
                f"{most['member_share']:.0%} (95% interval "
                f"{most['member_share_low']:.0%} to {most['member_share_high']:.0%}; by "
                f"chance {most['member_share_null_low']:.0%} to "
                f"{most['member_share_null_high']:.0%})."
            )
        surpassed = layers[
            (layers["member_share_p"] < LEVEL) & (layers["member_share"] < 0.5)
        ]
        if len(surpassed):
            return (
                "Holdout images win more units than expected by chance "
                f"(p < {LEVEL}) in {len(surpassed)} of {len(layers)} layers. Members and "
                "holdout may differ in kind; then nothing can be concluded."
            )
        highest = layers["member_share_high"].max()
        return (
            f"Members do not win more units than expected by chance (p < {LEVEL}) in any "
            f"of {len(layers)} layers. This does not rule out memorisation: the "
            f"intervals of the member share reach up to {highest:.0%}."
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
            "for images that the encoder never saw."
        ]
        if self.result.has_holdout:
            said.append(
                "Members and holdout must come from one distribution: any encoder "
                "separates images that were collected or compressed differently."
            )
        return said + super().limits()

    @property
    def tested_layers(self) -> int:
        """How many layers are tested, each by itself: none without a holdout."""
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
        MemorizationError: If UnitMem was not measured.
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
