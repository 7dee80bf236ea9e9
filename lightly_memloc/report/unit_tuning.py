"""How the tuning of units to images is shown."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from lightly_memloc.report.report import REPORTS, Drawing, Report
from lightly_memloc.report.style import BLUE, GREY, layer_ticks, legend, set_labels
from lightly_memloc.report.svg import hover
from lightly_memloc.report.tables import (
    Table,
    adjusted_p_of,
    interval,
    make_table,
    number,
    share,
    signed,
    text,
)
from lightly_memloc.results import UnitTuningResult


@REPORTS.register(UnitTuningResult.kind)
class UnitTuningReport(Report[UnitTuningResult]):
    """Shows UnitMem of units before and after each was tuned to an image."""

    rank = 90

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Tuned units"

    def tables(self) -> list[Table]:
        """Return the table of layers."""
        layers = self.result.layers_to_pandas()
        fields = [
            text("layer"),
            number("units", str),
            number("before", share),
            number("after", share),
            number("rise", signed),
            interval("rise"),
            adjusted_p_of("rise", layers),
            number("wins", str, "won"),
        ]
        title = "UnitMem of units, each tuned to one image"
        return [make_table(title, layers, fields, bar="rise", full=1.0)]

    def words(self) -> str:
        """Say in how many units tuning made the image the most activating one."""
        units = self.result.to_pandas()
        rises = int((units["after"] > units["before"]).sum())
        return (
            f"After tuning to an image, UnitMem is higher in {rises} of {len(units)} "
            f"units, and the image activates {int(units['wins'].sum())} of them most."
        )

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``unit_tuning``: mean UnitMem of each layer before and after."""
        return {"unit_tuning": self._draw}

    def _draw(self, axes: Axes) -> None:
        layers = self.result.layers_to_pandas()
        set_labels(axes, "Units, each tuned to one image", "UnitMem")
        position = np.arange(len(layers))
        axes.vlines(position, layers["before"], layers["after"], color=GREY)
        for name, color, marker, fill in (
            ("before", GREY, "o", "white"),
            ("after", BLUE, "D", BLUE),
        ):
            axes.plot(position, layers[name], marker, color=color, label=name, mfc=fill)
            texts = [
                f"{layer}, mean UnitMem {name}: {share(value)}"
                for layer, value in zip(layers["layer"], layers[name], strict=True)
            ]
            hover(axes, position, layers[name], texts)
        layer_ticks(axes, layers["layer"].tolist())
        axes.set_ylim(0, 1.04)
        legend(axes)
