"""The result of tuning single units to single images."""

from typing import ClassVar

import pandas as pd

from lightly_memloc.results.result import Result, estimated


class UnitTuningResult(Result):
    """UnitMem of units before and after each was tuned to an image.

    ``to_pandas()`` has one row per tuned unit. Columns: ``layer``, ``unit``, ``index``
    and ``filename`` of the image that it was tuned to, UnitMem ``before`` and ``after``,
    and ``wins``, whether that image activates it most afterwards. Before, another image
    did.
    """

    kind = "unit-tuning"
    first = "units"
    required: ClassVar = {
        "layers": ("layer", "units", "before", "after", "wins", *estimated("rise")),
        "units": ("layer", "unit", "index", "filename", "before", "after", "wins"),
    }

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return one row per layer.

        Columns: ``layer``, ``units`` tuned, mean UnitMem ``before`` and ``after``;
        ``rise``, the mean difference, with standard error, Student's interval and p-value
        over the units, as a random sample of this layer's units (NaN with fewer than
        three), and ``rise_p_adjusted`` for the number of layers (Holm); ``wins``, how many units their image won.
        """
        return self.to_pandas("layers")

    def scalars(self) -> dict[str, float]:
        """Return the mean rise of UnitMem in each layer, ``unit_mem_rise/<layer>``."""
        return self._by_layer("unit_mem_rise", "rise")
