"""Tables of accuracy: by probe, and after interventions."""

from lightly_memloc.report.tables.build import (
    Field,
    interval,
    make_table,
    number,
    p_of,
    text,
)
from lightly_memloc.report.tables.formats import (
    between,
    error_in_points,
    points,
    tenths_of_percent,
)
from lightly_memloc.report.tables.result_tables import result_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import InterventionResult, ProbeResult

ACCURACY = (
    number("accuracy", tenths_of_percent),
    Field("95% interval", ("low", "high"), between(tenths_of_percent)),
)


@result_tables.register
def probe_tables(result: ProbeResult) -> list[Table]:
    """Make the table of encoders and probes."""
    counts = result.settings
    title = (
        f"Accuracy on {counts['test']} images, learned from {counts['train']} "
        f"({counts['classes']} classes)"
    )
    fields = [text("encoder"), text("probe"), *ACCURACY]
    return [make_table(title, result.to_pandas(), fields, bar="accuracy", full=1.0)]


@result_tables.register
def intervention_tables(result: InterventionResult) -> list[Table]:
    """Make the table of strategies."""
    strategies, runs = result.to_pandas(), result.settings.get("runs")
    trials = strategies["trials"].max()
    over = f"{len(runs)} runs" if runs else f"{trials} trials of one run"
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
        fields += [number("over_random", points, "over random"), p_of("over_random")]
    title = f"{result.settings['intervention']}: accuracy over {over}, in points"
    return [make_table(title, strategies, fields)]
