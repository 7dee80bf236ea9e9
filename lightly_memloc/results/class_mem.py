"""The result of measuring ClassMem."""

import pandas as pd

from lightly_memloc.results.result import Result


class ClassMemResult(Result):
    """ClassMem of each unit, and its average over each layer."""

    kind = "class-mem"

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a unit.

        Columns: ``layer``, ``unit``, ``class_mem``, ``class`` (the target with the
        largest mean activation), ``dead``.
        """
        return self.tables["units"].copy()

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return a row a layer.

        Columns: ``layer``, ``kind``, ``units``, ``dead``, ``mean`` and ``median`` of
        ClassMem over live units, and ``rectified``.
        """
        return self.tables["layers"].copy()

    def scalars(self) -> dict[str, float]:
        """Return ``class_mem/<layer>``: the mean over live units."""
        return self._by_layer("class_mem", "mean")
