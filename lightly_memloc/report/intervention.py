"""How interventions are shown: pruning, fine-tuning and exchanging layers."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.report.charts import points_with_bars
from lightly_memloc.report.report import REPORTS, Drawing, Report, Step, unlabelled
from lightly_memloc.report.style import GREY, set_labels, zero_line
from lightly_memloc.report.svg import hover
from lightly_memloc.report.tables import (
    Table,
    error_in_points,
    formatted,
    interval,
    make_table,
    number,
    p_of,
    points,
    tenths_of_percent,
    text,
)
from lightly_memloc.results import InterventionResult

# Few strategies are tested, not every layer.
_LEVEL = 0.05
_TITLES = {
    "prune": "Pruned units",
    "finetune": "Fine-tuned layers",
    "exchange": "Exchanged layers",
}
_tenths = formatted("+.1f")


@REPORTS.register(InterventionResult.kind)
class InterventionReport(Report[InterventionResult]):
    """Shows what an intervention changes, by strategy."""

    rank = 80
    made_by = tuple(
        Step("What do the units of highest UnitMem contribute?", "prune", study)
        for study in ("run", "runs")
    )

    @property
    def title(self) -> str:
        """What a page calls the result: by what was done."""
        return _TITLES.get(self._name, self._name)

    @property
    def place(self) -> tuple[int, ...]:
        """Where a page shows it: in the order of the known interventions."""
        order = list(_TITLES)
        known = order.index(self._name) if self._name in order else len(order)
        return (self.rank, known)

    @property
    def _name(self) -> str:
        return str(self.result.settings["intervention"])

    def tables(self) -> list[Table]:
        """Return the table of strategies."""
        strategies, runs = self.result.to_pandas(), self.result.settings.get("runs")
        trials = strategies["trials"].max()
        trial = "trial" if trials == 1 else "trials"
        over = f"{len(runs)} runs" if runs else f"{trials} {trial} of one run"
        fields = [
            text("strategy"),
            number("baseline", tenths_of_percent, "without"),
            number("accuracy", tenths_of_percent, "with"),
            number("change", points),
            number("change_error", error_in_points, "s.e."),
            interval("change", points),
            p_of("change"),
        ]
        if "over_random" in strategies:
            fields += [
                number("over_random", points, "over random"),
                p_of("over_random"),
            ]
        title = f"{self._name}: accuracy over {over}, in points"
        return [make_table(title, strategies, fields)]

    def words(self) -> str:
        """Say what each strategy changes, and whether any differs from random choice."""
        return f"{self._found()}{unlabelled(self.result)}{self._left_out()}"

    def _found(self) -> str:
        rows = self.result.to_pandas()
        if rows["change_p"].isna().all():
            return (
                f"{self._name}: with fewer than three trials, nothing can be concluded."
            )
        changed = [
            f"'{row['strategy']}' changes accuracy by {_in_points(row, 'change')}"
            for _, row in rows[rows["change_p"] < _LEVEL].iterrows()
        ]
        said = (
            f"{self._name}: {'; '.join(changed)}."
            if changed
            else f"{self._name}: no strategy changes accuracy (p < {_LEVEL})."
        )
        if "over_random" not in rows or rows["over_random_p"].isna().all():
            return said
        different = [
            f"'{row['strategy']}' differs by {_in_points(row, 'over_random')}"
            for _, row in rows[rows["over_random_p"] < _LEVEL].iterrows()
        ]
        return f"{said} Compared with random choice, " + (
            f"{'; '.join(different)}." if different else "no strategy differs."
        )

    def _left_out(self) -> str:
        """Say that results of earlier versions leave out the choice of test images."""
        complete = "images" in self.result.tables or "runs" in self.result.settings
        if complete or self.result.to_pandas()["change_p"].isna().all():
            return ""
        return (
            " This result of an earlier version leaves out the variation between test "
            "images: its intervals are too narrow and its p-values too small."
        )

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``accuracy``: its change by strategy, with each trial as a point."""
        return {"accuracy": self._draw}

    def _draw(self, axes: Axes) -> None:
        summary, trials = self.result.to_pandas(), self.result.trials_to_pandas()
        set_labels(
            axes,
            f"{self._name}: mean over trials, 95% interval",
            "change in accuracy, in points",
        )
        order = {name: i for i, name in enumerate(summary["strategy"])}
        places = trials["strategy"].map(order) + 0.18
        changes = 100 * (trials["accuracy"] - trials["baseline"])
        axes.plot(places, changes, "o", color=GREY, ms=4, mfc="none")
        named = zip(trials["strategy"], trials["trial"], changes, strict=True)
        texts = [
            f"{strategy}, trial {trial}: {_tenths(change)} points"
            for strategy, trial, change in named
        ]
        hover(axes, places, changes, texts)
        columns = [f"change{ending}" for ending in ("", "_low", "_high")]
        strategies = summary["strategy"].tolist()
        means = (summary[columns] * 100).assign(change_p=summary["change_p"])
        points_with_bars(axes, means, "change", strategies, _tenths, capsize=4)
        zero_line(axes)
        axes.set_xticks(range(len(summary)), strategies)
        axes.set_xlim(-0.5, len(summary) - 0.5)


def _in_points(row: "pd.Series[float]", name: str) -> str:
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"
