"""What was found in accuracies, in plain words."""

import pandas as pd

from lightly_memloc.report.findings.finding import finding
from lightly_memloc.results import InterventionResult, ProbeResult

# Few strategies are tested, not every layer.
_LEVEL = 0.05


@finding.register
def intervention_finding(result: InterventionResult) -> str:
    """Say what each strategy changes, and whether any differs from chance.

    Args:
        result: The interventions.
    """
    rows = result.to_pandas()
    name = result.settings["intervention"]
    if rows["change_p"].isna().all():
        return f"{name}: fewer than three trials, from which nothing can be concluded."
    changed = [
        f"'{row['strategy']}' changes accuracy by {_points(row, 'change')}"
        for _, row in rows[rows["change_p"] < _LEVEL].iterrows()
    ]
    said = (
        f"{name}: {'; '.join(changed)}."
        if changed
        else f"{name}: no strategy changes accuracy (p < {_LEVEL})."
    )
    if "over_random" not in rows:
        return said
    different = [
        f"'{row['strategy']}' differs from it by {_points(row, 'over_random')}"
        for _, row in rows[rows["over_random_p"] < _LEVEL].iterrows()
    ]
    return f"{said} Against choosing at random: " + (
        f"{'; '.join(different)}." if different else "no strategy differs."
    )


@finding.register
def probe_finding(result: ProbeResult) -> str:
    """Say how accurate each encoder is at best.

    Args:
        result: The accuracies.
    """
    probes = result.to_pandas()
    best = probes.loc[probes.groupby("encoder", sort=False)["accuracy"].idxmax()]
    return " ".join(
        f"{row['encoder']} reaches {row['accuracy']:.1%} with {row['probe']} (95% "
        f"interval {row['low']:.1%} to {row['high']:.1%})."
        for _, row in best.iterrows()
    )


def _points(row: "pd.Series[float]", name: str) -> str:
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"
