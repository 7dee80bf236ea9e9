"""Interventions: from trials and tuned units to their averages."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lightly_memloc.functional import student_mean
from lightly_memloc.results import InterventionResult, UnitTuningResult

_RANDOM = "random"
_TWO_NOTE = "Fewer than three trials give no intervals."


def summarize_trials(
    trials: pd.DataFrame,
    settings: Mapping[str, Any],
    units: pd.DataFrame | None = None,
) -> InterventionResult:
    """Summarize the trials of an intervention, by strategy.

    Args:
        trials: One row per strategy and trial: ``strategy``, ``trial``, ``accuracy``
            after the intervention, ``baseline``, the accuracy without it, and
            ``where``, the layers or units that were changed.
        settings: Settings, with ``intervention``.
        units: One row per changed unit: ``strategy``, ``trial``,
            ``layer``, ``unit``.
    """
    changes = trials.assign(change=trials["accuracy"] - trials["baseline"])
    by_trial = changes.pivot(index="trial", columns="strategy", values="change")
    rows = []
    for strategy, of in changes.groupby("strategy", sort=False):
        change = student_mean(of["change"])
        row = {
            "strategy": strategy,
            "trials": len(of),
            "baseline": of["baseline"].mean(),
            "accuracy": of["accuracy"].mean(),
        } | change.columns("change")
        if _RANDOM in by_trial:
            # Paired: trials of one encoder or seed share their difficulty.
            over = by_trial[strategy] - by_trial[_RANDOM]
            if strategy == _RANDOM:
                over = over * float("nan")
            row |= student_mean(over).columns("over_random")
        rows.append(row)
    notes = [_TWO_NOTE] if len(by_trial) < 3 else []
    tables = {"summary": pd.DataFrame(rows), "trials": trials}
    if units is not None:
        tables["units"] = units
    return InterventionResult(
        {"skipped": [], **settings, "notes": notes},
        {name: table.reset_index(drop=True) for name, table in tables.items()},
    )


def pool_trials(results: Mapping[str, InterventionResult]) -> InterventionResult:
    """Pool the trials of several encoders, such as those of several runs.

    Args:
        results: The result of each encoder, by its name.
    """

    def together(table: str) -> pd.DataFrame:
        tables = {name: result.tables[table] for name, result in results.items()}
        return pd.concat(
            of.assign(trial=f"{name}/" + of["trial"].astype(str))
            for name, of in tables.items()
        )

    first = next(iter(results.values()))
    return summarize_trials(
        together("trials"),
        {**first.settings, "runs": list(results)},
        together("units") if "units" in first.tables else None,
    )


def summarize_tuning(
    units: pd.DataFrame, settings: Mapping[str, Any]
) -> UnitTuningResult:
    """Summarize tuned units by layer.

    Args:
        units: One row per tuned unit: ``layer``, ``unit``, ``index`` and ``filename``
            of the image, UnitMem ``before`` and ``after``, and ``wins``, whether
            the image activates it most afterwards.
        settings: Settings of the measurement.
    """
    rows = []
    for layer, of in units.groupby("layer", sort=False):
        rise = student_mean(of["after"] - of["before"])
        rows.append(
            {
                "layer": layer,
                "units": len(of),
                "before": of["before"].mean(),
                "after": of["after"].mean(),
                **rise.columns("rise"),
                "wins": int(of["wins"].sum()),
            }
        )
    tables = {"layers": pd.DataFrame(rows), "units": units}
    return UnitTuningResult({"skipped": [], **settings}, tables)
