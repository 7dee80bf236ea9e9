"""The result of intervening in encoders, by several strategies."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import student_mean
from lightly_memloc.results.columns import estimate_columns
from lightly_memloc.results.result import Result

_RANDOM = "random"
_TWO_NOTE = "Fewer than three trials give no intervals."


class InterventionResult(Result):
    """Accuracy after an intervention, by strategy, over trials."""

    kind = "intervention"

    @classmethod
    def from_trials(
        cls,
        trials: pd.DataFrame,
        settings: dict[str, Any],
        units: pd.DataFrame | None = None,
    ) -> "InterventionResult":
        """Summarise trials.

        Args:
            trials: A row a strategy and trial: ``strategy``, ``trial``, ``accuracy``
                after the intervention, ``baseline``, the accuracy without it, and
                ``where``, what was intervened in.
            settings: Settings, with ``intervention``.
            units: A row a unit that was intervened in: ``strategy``, ``trial``,
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
            } | estimate_columns("change", change)
            if _RANDOM in by_trial:
                # Paired: the trials of one encoder or seed share what is hard in it.
                over = by_trial[strategy] - by_trial[_RANDOM]
                if strategy == _RANDOM:
                    over = over * float("nan")
                row |= estimate_columns("over_random", student_mean(over))
            rows.append(row)
        notes = [_TWO_NOTE] if len(by_trial) < 3 else []
        tables = {"summary": pd.DataFrame(rows), "trials": trials}
        if units is not None:
            tables["units"] = units
        return cls(
            {"skipped": []} | settings | {"notes": notes},
            {name: table.reset_index(drop=True) for name, table in tables.items()},
        )

    @classmethod
    def pooled(
        cls, results: "Mapping[str, InterventionResult]"
    ) -> "InterventionResult":
        """Pool the trials of several encoders, such as those of several runs.

        Args:
            results: A result for each encoder, by its name.
        """

        def together(table: str) -> pd.DataFrame:
            tables = {name: result.tables[table] for name, result in results.items()}
            return pd.concat(
                of.assign(trial=f"{name}/" + of["trial"].astype(str))
                for name, of in tables.items()
            )

        first = next(iter(results.values()))
        return cls.from_trials(
            together("trials"),
            first.settings | {"runs": list(results)},
            together("units") if "units" in first.tables else None,
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a strategy.

        Columns: ``strategy``, ``trials``, mean ``baseline`` and ``accuracy``;
        ``change``, the mean difference of the two, and ``over_random``, the mean
        difference from the change of the random strategy in the same trial; each with
        standard error, interval and p-value over trials in ``_error``, ``_low``,
        ``_high`` and ``_p`` (NaN with fewer than three trials).
        """
        return self.tables["summary"].copy()

    def trials_to_pandas(self) -> pd.DataFrame:
        """Return a row a strategy and trial: ``accuracy``, ``baseline``, ``where``."""
        return self.tables["trials"].copy()

    def units_to_pandas(self) -> pd.DataFrame:
        """Return a row a pruned unit: ``strategy``, ``trial``, ``layer``, ``unit``.

        Raises:
            MemorizationError: If the intervention was not in units.
        """
        if "units" not in self.tables:
            raise MemorizationError(
                f"{self.settings['intervention']} intervenes in layers, not in units: "
                "trials_to_pandas() says in which."
            )
        return self.tables["units"].copy()

    def scalars(self) -> dict[str, float]:
        """Return the change of accuracy by strategy, ``<intervention>/<strategy>``."""
        columns = [self.tables["summary"][name] for name in ("strategy", "change")]
        return {
            f"{self.settings['intervention']}/{strategy}": float(change)
            for strategy, change in zip(*columns, strict=True)
        }
