"""The result of tuning single units to single images."""

from typing import Any

import pandas as pd

from lightly_memloc.functional import student_mean
from lightly_memloc.results.columns import estimate_columns
from lightly_memloc.results.result import Result


class UnitTuningResult(Result):
    """UnitMem of units before and after each was tuned to an image."""

    kind = "unit-tuning"

    @classmethod
    def from_units(
        cls, units: pd.DataFrame, settings: dict[str, Any]
    ) -> "UnitTuningResult":
        """Summarise tuned units by layer.

        Args:
            units: A row a tuned unit: ``layer``, ``unit``, ``index`` and ``filename``
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
                    **estimate_columns("rise", rise),
                    "wins": int(of["wins"].sum()),
                }
            )
        tables = {"layers": pd.DataFrame(rows), "units": units}
        return cls({"skipped": []} | settings, tables)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a tuned unit.

        Columns: ``layer``, ``unit``, ``index`` and ``filename`` of the image that it was
        tuned to, UnitMem ``before`` and ``after``, and ``wins``, whether the image is
        the one that activates it most afterwards. Before, it was another.
        """
        return self.tables["units"].copy()

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return a row a layer.

        Columns: ``layer``, ``units`` tuned, mean UnitMem ``before`` and ``after``;
        ``rise``, the mean difference, with standard error, Student's interval and p-value
        over units (NaN with fewer than three); ``wins``, how many units their image won.
        """
        return self.tables["layers"].copy()

    def scalars(self) -> dict[str, float]:
        """Return the mean rise of UnitMem in each layer, ``unit_mem_rise/<layer>``."""
        return self._by_layer("unit_mem_rise", "rise")
