"""The result of intervening in encoders, by several strategies."""

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.result import Result


class InterventionResult(Result):
    """Accuracy after an intervention, by strategy, over trials.

    ``to_pandas()`` has one row per strategy. Columns: ``strategy``, ``trials``, mean
    ``baseline`` and ``accuracy``; ``change``, the mean difference of the two, and
    ``over_random``, the mean difference from the change of the random strategy in the
    same trial; each with standard error, interval and p-value over trials in
    ``_error``, ``_low``, ``_high`` and ``_p`` (NaN with fewer than three trials).
    """

    kind = "intervention"
    first = "summary"

    def trials_to_pandas(self) -> pd.DataFrame:
        """Return one row per strategy and trial: ``accuracy``, ``baseline``, ``where``."""
        return self.to_pandas("trials")

    def units_to_pandas(self) -> pd.DataFrame:
        """Return one row per pruned unit: ``strategy``, ``trial``, ``layer``, ``unit``.

        Raises:
            MemorizationError: If the intervention was not in units.
        """
        if "units" not in self.tables:
            raise MemorizationError(
                f"{self.settings['intervention']} intervenes in layers, not in units: "
                "trials_to_pandas() lists them."
            )
        return self.to_pandas("units")

    def scalars(self) -> dict[str, float]:
        """Return the change of accuracy by strategy, ``<intervention>/<strategy>``."""
        columns = [self.tables["summary"][name] for name in ("strategy", "change")]
        return {
            f"{self.settings['intervention']}/{strategy}": float(change)
            for strategy, change in zip(*columns, strict=True)
        }
