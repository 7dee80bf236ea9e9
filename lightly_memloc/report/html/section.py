"""What the page tells of a result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from matplotlib.figure import Figure

from lightly_memloc.report.findings import finding
from lightly_memloc.report.html.charts import (
    layer_mem_chart,
    member_share_chart,
    unit_mem_chart,
)
from lightly_memloc.report.save import to_svg
from lightly_memloc.report.tables import Table, result_tables
from lightly_memloc.report.titles import TITLES
from lightly_memloc.results import Result, UnitMemResult, plot_epochs

# Figures of a kind of result that are interactive on the page: title and specification.
_INTERACTIVE: dict[str, dict[str, tuple[str, Callable[[Any], dict[str, Any]]]]] = {
    "layer-mem": {
        "layer_mem": ("Memorisation along depth, 95% intervals", layer_mem_chart),
    },
    "unit-mem": {
        "unit_mem": ("Selectivity of units for single images", unit_mem_chart),
        "member_share": (
            "Do units prefer training images? 95% intervals",
            member_share_chart,
        ),
    },
}


@dataclass(frozen=True)
class Chart:
    """A figure of a result.

    Attributes:
        title: What it shows.
        spec: The specification of an interactive chart, if it is one.
        image: Else the figure as a data URI.
    """

    title: str
    spec: dict[str, Any] | None = None
    image: str | None = None


@dataclass(frozen=True)
class Section:
    """What the page tells of a result.

    Attributes:
        name: The name of the result's folder.
        title: What it is about.
        finding: What it says, in words.
        charts: Its figures.
        tables: Its tables.
    """

    name: str
    title: str
    finding: str
    charts: list[Chart]
    tables: list[Table]

    @classmethod
    def of(cls, name: str, result: Result) -> "Section":
        """Tell of a result.

        Args:
            name: The name of its folder.
            result: The result.
        """
        return cls(
            name,
            TITLES.get(name, name),
            finding(result),
            list(_charts(result)),
            result_tables(result),
        )

    @classmethod
    def followed(cls, name: str, results: list[Result]) -> "Section":
        """Tell of what a callback measured during training.

        Args:
            name: The callback's name.
            results: What it measured, epoch by epoch.
        """
        charts = []
        if any(isinstance(result, UnitMemResult) for result in results):
            charts = [_image(plot_epochs(results))]
        return cls(f"training-{name}", f"In training: {name}", "", charts, [])


def _charts(result: Result) -> Iterator[Chart]:
    interactive = _INTERACTIVE.get(result.kind, {}) if result.scalars() else {}
    figures = result.figures()
    for name in figures:
        if name in interactive:
            title, specification = interactive[name]
            yield Chart(title, spec=specification(result))
        else:
            yield _image(figures[name])


def _image(figure: Figure) -> Chart:
    title = figure.axes[0].get_title()
    return Chart(title, image=f"data:image/svg+xml,{quote(to_svg(figure))}")
