"""The result of measuring ClassMem."""

from typing import ClassVar

import pandas as pd

from lightly_memloc.results.result import Result


class ClassMemResult(Result):
    """ClassMem of each unit, and its average over each layer.

    ``to_pandas()`` has one row per unit, with the columns ``layer``, ``unit``,
    ``class_mem``, ``class`` (the target with the largest mean activation) and ``dead``.
    """

    kind = "class-mem"
    first = "units"
    required_settings = ("classes",)
    required: ClassVar = {
        "layers": ("layer", "kind", "units", "dead", "mean", "median", "rectified"),
        "units": ("layer", "unit", "class_mem", "class", "dead"),
    }

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return one row per layer.

        Columns: ``layer``, ``kind``, ``units``, ``dead``, ``mean`` and ``median`` of
        ClassMem over live units, and ``rectified``.
        """
        return self.to_pandas("layers")

    def scalars(self) -> dict[str, float]:
        """Return ``class_mem/<layer>``: the mean over live units."""
        return self._by_layer("class_mem", "mean")
