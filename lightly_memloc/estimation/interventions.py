"""Interventions: from trials and tuned units to their averages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import Estimate, accuracy_change, holm_p, student_mean
from lightly_memloc.results import InterventionResult, UnitTuningResult

_RANDOM, _BASELINE = "random", "baseline"
_ONE_NOTE = (
    "One trial: the intervals are over test images, and describe the layers or units of "
    "this trial. A comparison with random choice needs several trials."
)


def summarize_trials(
    trials: pd.DataFrame,
    images: pd.DataFrame,
    settings: Mapping[str, Any],
    units: pd.DataFrame | None = None,
) -> InterventionResult:
    """Summarize the trials of an intervention, by strategy.

    Standard errors include the variation between trials and between test images, as in
    :func:`~lightly_memloc.functional.accuracy_change`. With a single trial, the
    difference from random choice has none.

    Args:
        trials: One row per strategy and trial: ``strategy``, ``trial``, ``accuracy``
            after the intervention, ``baseline``, the accuracy without it, and
            ``where``, the layers or units that were changed.
        images: One row per trial and test image: ``trial``, ``index`` of the image, and
            whether it is classified correctly, without the intervention in
            ``baseline``, and by strategy in a column of its name. A strategy without a
            column is the baseline itself. If there is a column ``run``, the trials of a
            run are averaged first, and runs take the place of trials.
        settings: Settings, with ``intervention``.
        units: One row per changed unit: ``strategy``, ``trial``,
            ``layer``, ``unit``.
    """
    answers = _answers(images)
    n_independent = len(answers[_BASELINE])
    rows = []
    for strategy, of in trials.groupby("strategy", sort=False):
        column = str(strategy) if strategy in answers else _BASELINE
        row = {
            "strategy": strategy,
            "trials": len(of),
            "baseline": np.nanmean(answers[_BASELINE], axis=1).mean(),
            "accuracy": np.nanmean(answers[column], axis=1).mean(),
        } | _change(answers, _BASELINE, column).columns("change")
        if _RANDOM in answers:
            # Paired: trials of one encoder or seed share their difficulty.
            over = _change(answers, _RANDOM, column)
            columns = over.columns("over_random")
            if strategy == _RANDOM:
                columns = dict.fromkeys(columns, np.nan)
            elif n_independent == 1:
                # One random choice does not show how much random choices differ.
                unknown = dict.fromkeys(columns, np.nan)
                columns = unknown | {"over_random": over.value[()]}
            row |= columns
        rows.append(row)
    tables = {
        "summary": pd.DataFrame(rows),
        "trials": trials.assign(**_changed(trials, images)),
        "images": images,
    }
    if units is not None:
        tables["units"] = units
    return InterventionResult(
        {"skipped": [], **settings, "notes": [_ONE_NOTE] if n_independent == 1 else []},
        {name: table.reset_index(drop=True) for name, table in tables.items()},
    )


def pool_trials(results: Mapping[str, InterventionResult]) -> InterventionResult:
    """Pool the trials of several encoders, such as those of several runs.

    The trials of an encoder are averaged, and the encoders take the place of trials. An
    image that several encoders are tested on is recognised by its index: the results
    must be of the same data set.

    Args:
        results: The result of each encoder, by its name.

    Raises:
        MemorizationError: If a result was saved by an earlier version, without the
            table ``images``.
    """
    old = [name for name, result in results.items() if "images" not in result.tables]
    if old:
        raise MemorizationError(
            f"The trials of {', '.join(old)} were saved without the answers to each test "
            "image (table 'images'), which their interval needs. Repeat the intervention "
            "with this version."
        )

    def together(table: str) -> pd.DataFrame:
        tables = {name: result.tables[table] for name, result in results.items()}
        return pd.concat(
            of.assign(trial=f"{name}/" + of["trial"].astype(str))
            for name, of in tables.items()
        )

    images = together("images")
    runs = images["trial"].str.rpartition("/")[0]
    first = next(iter(results.values()))
    return summarize_trials(
        together("trials"),
        images.assign(run=runs),
        {
            **first.settings,
            "runs": list(results),
            "fingerprints": {
                "runs": {
                    name: of.settings.get("fingerprints", {})
                    for name, of in results.items()
                }
            },
        },
        together("units") if "units" in first.tables else None,
    )


def _answers(images: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Share of correct answers by column: one row per trial or run, NaN if not tested."""
    independent = "run" if "run" in images else "trial"
    columns = [name for name in images if name not in ("run", "trial", "index")]
    means = images.groupby([independent, "index"])[columns].mean()
    return {str(name): means[name].unstack("index").to_numpy() for name in columns}


def _change(
    answers: Mapping[str, NDArray[np.float64]], before: str, after: str
) -> Estimate:
    if before == after:
        zero = np.asarray(0.0)
        return Estimate(zero, zero, zero, np.asarray(1.0), error=zero)
    return accuracy_change(answers[before], answers[after])


def _changed(trials: pd.DataFrame, images: pd.DataFrame) -> dict[str, list[Any]]:
    """Number of test images of each trial, and the share that an intervention changes."""
    of_trial = dict(list(images.groupby("trial")))
    n_test, discordant = [], []
    for strategy, trial in zip(trials["strategy"], trials["trial"], strict=True):
        answers = of_trial[trial]
        column = strategy if strategy in images else _BASELINE
        n_test.append(len(answers))
        discordant.append(float((answers[column] != answers[_BASELINE]).mean()))
    return {"n_test": n_test, "discordant": discordant}


def summarize_tuning(
    units: pd.DataFrame, settings: Mapping[str, Any]
) -> UnitTuningResult:
    """Summarize tuned units by layer.

    The rise has Student's interval over the tuned units, as a random sample of the
    layer's units in one encoder.

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
    layers = pd.DataFrame(rows)
    layers["rise_p_adjusted"] = holm_p(layers["rise_p"])
    tables = {"layers": layers, "units": units}
    return UnitTuningResult({"skipped": [], **settings}, tables)
