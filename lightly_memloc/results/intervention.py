"""The result of intervening in encoders, by several strategies."""

from typing import ClassVar

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.result import Result, estimated


class InterventionResult(Result):
    """Accuracy after an intervention, by strategy, over trials.

    ``to_pandas()`` has one row per strategy. Columns: ``strategy``, ``trials``, mean
    ``baseline`` and ``accuracy``; ``change``, the mean difference of the two, and
    ``over_random``, the mean difference from the change of the random strategy in the
    same trial; each with standard error, interval and p-value over trials and test
    images in ``_error``, ``_low``, ``_high`` and ``_p``. Those of a single trial are over
    test images only, and NaN for ``over_random``. The table ``images`` has one row per trial and test image, with
    whether it is classified correctly, in ``baseline`` and in a column per strategy.

    Results of earlier versions lack the table ``images`` and the columns ``n_test`` and
    ``discordant`` of the trials. Their errors, intervals and p-values leave out the
    variation between test images, and are too small unless each trial has its own.
    """

    kind = "intervention"
    first = "summary"
    required_settings = ("intervention",)
    required: ClassVar = {
        "summary": (
            *("strategy", "trials", "baseline", "accuracy"),
            *("change_error", "over_random_error"),
            *estimated("change", "over_random"),
        ),
        "trials": ("strategy", "trial", "accuracy", "baseline", "where"),
    }

    def trials_to_pandas(self) -> pd.DataFrame:
        """Return one row per strategy and trial.

        Columns: ``strategy``, ``trial``, ``accuracy``, ``baseline``, ``where``,
        ``n_test`` test images, and ``discordant``, the share of them that are classified
        correctly only with or only without the intervention.
        """
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
