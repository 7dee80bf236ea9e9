"""How a result is shown: one class that terminal, page, files and loggers draw from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.style import new_axes
from lightly_memloc.report.tables import Table, formatted, make_table, number, text
from lightly_memloc.results import Result
from lightly_memloc.runtime.registry import Registry

R = TypeVar("R", bound=Result)

# The level of a p-value that is adjusted for the number of layers, at which a layer
# counts as found.
LEVEL = 0.05

# Draws a figure on axes, with its title.
Drawing = Callable[[Axes], None]


@dataclass(frozen=True)
class Step:
    """A measurement to make next.

    Attributes:
        question: The question that it answers.
        command: The subcommand of ``lightly-memloc``, with options.
        study: What it measures: ``"run"``, ``"runs"`` or ``"encoder"``, a custom one.
    """

    question: str
    command: str
    study: str = "run"


class Report(Generic[R]):
    """Shows a result: title, tables, words, figures and next steps.

    This base shows any result by the numbers that it logs. A subclass is registered
    under the result's ``kind``, in this package or, by an entry point of the group
    ``memloc.reports``, in another::

        @REPORTS.register("my-metric")
        class MyReport(Report[MyResult]): ...

    Args:
        result: The result.

    Attributes:
        rank: Where a page shows it: the results of the lowest rank come first.
        made_by: How results of this kind are made, for a study that lacks one.
    """

    rank: ClassVar[int] = 1000
    made_by: ClassVar[tuple[Step, ...]] = ()

    def __init__(self, result: R) -> None:
        self.result = result

    @property
    def title(self) -> str:
        """What a page calls the result; the same whoever measured it."""
        return self.result.kind

    @property
    def place(self) -> tuple[int, ...]:
        """Where a page shows it: by rank, and within one as a subclass decides."""
        return (self.rank,)

    def tables(self) -> list[Table]:
        """Return the tables to show; by default one for each metric that is logged."""
        rows = [
            (*name.partition("/")[::2], value)
            for name, value in self.result.scalars().items()
        ]
        frame = pd.DataFrame(rows, columns=["metric", "layer", "value"])
        return [
            make_table(
                f"{metric} ({self.result.kind})",
                of,
                [text("layer"), number("value", formatted(".4g"), str(metric))],
                bar="value",
            )
            for metric, of in frame.groupby("metric", sort=False)
        ]

    def words(self) -> str:
        """Say in plain words what the result shows, significant or not."""
        return ""

    def measured(self) -> str:
        """Say in one sentence what was measured."""
        return ""

    def limits(self) -> list[str]:
        """Say what cannot be concluded from the result."""
        return list(self.result.settings.get("notes", []))

    @property
    def tested_layers(self) -> int:
        """How many layers are tested."""
        return 0

    def next_steps(self) -> list[Step]:
        """Return the measurements that this result suggests."""
        return []

    def drawings(self) -> Mapping[str, Drawing]:
        """Return what draws each figure, by the figure's name; the main one first."""
        return {}

    def figures(self) -> "Figures":
        """Return the figures by name, each drawn when it is first asked for."""
        return Figures(self)

    def plot(
        self, name: str | None = None, ax: Axes | None = None
    ) -> tuple[Figure, Axes]:
        """Draw a figure.

        Args:
            name: One of ``figures()``; by default the first.
            ax: The axes to draw on; by default those of a new figure.

        Returns:
            The figure and its axes.

        Raises:
            MemorizationError: If there is no such figure.
        """
        drawings = self.drawings()
        chosen = next(iter(drawings), "") if name is None else name
        if chosen not in drawings:
            raise MemorizationError(
                f"There is no such figure of {self.result.kind}: expected one of "
                f"{list(drawings)}, got {name!r}."
            )
        axes = new_axes() if ax is None else ax
        drawings[chosen](axes)
        return axes.figure.figure, axes


class Figures(Mapping[str, Figure]):
    """Figures by name, each drawn when it is first asked for.

    Args:
        report: What draws them.
    """

    def __init__(self, report: Report[Any]) -> None:
        self._report = report
        self._names = list(report.drawings())
        self._drawn: dict[str, Figure] = {}

    def __getitem__(self, name: str) -> Figure:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._drawn:
            self._drawn[name], _ = self._report.plot(name)
        return self._drawn[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


REPORTS: Registry[type[Report[Any]]] = Registry("memloc.reports")
"""The reports by the ``kind`` of their results."""


def report_of(result: Result) -> Report[Any]:
    """Return the report of a result: that of its kind, or else of its base's kind.

    Args:
        result: A result of any class; one without a report is shown by the numbers
            that it logs.
    """
    known = REPORTS.names()
    for base in type(result).__mro__:
        kind = vars(base).get("kind")
        if kind and kind in known:
            return REPORTS[kind](result)
    return Report(result)


def adjusted_p(layers: pd.DataFrame, name: str) -> "pd.Series[float]":
    """Return the p-values of an estimate, adjusted for the number of layers.

    Args:
        layers: One row per layer.
        name: The estimate's column. Its adjusted p-value is in ``_p_adjusted``; results
            of version 0.1.0 have only ``_p``, which is adjusted by Bonferroni.
    """
    if f"{name}_p_adjusted" in layers:
        return layers[f"{name}_p_adjusted"]
    p = layers[f"{name}_p"]
    return (p * p.notna().sum()).clip(upper=1.0)


def distinct(layers: pd.DataFrame) -> pd.DataFrame:
    """Return the layers that do not repeat the values of a layer before them."""
    return layers[layers["repeats"] == ""] if "repeats" in layers else layers


def found_above(layers: pd.DataFrame, name: str, chance: float = 0.0) -> pd.DataFrame:
    """Return the layers in which an estimate is above chance, at the level.

    Args:
        layers: One row per layer.
        name: The estimate's column, with its p-value in ``_p_adjusted`` or ``_p``.
        chance: The value expected by chance.
    """
    found = (adjusted_p(layers, name) < LEVEL) & (layers[name] > chance)
    return distinct(layers[found])


def unlabelled(result: Result) -> str:
    """Say, after other words, how many images a probe left out for want of a label."""
    n = result.settings.get("unlabelled", 0)
    images = "1 image" if n == 1 else f"{n} images"
    return f" The probe left out {images} without a label." if n else ""


def largest(layers: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """Return the row with the largest value in a column, the last of equal ones."""
    return layers.sort_values(name, kind="stable").iloc[-1]
