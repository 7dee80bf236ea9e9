"""The result of measuring UnitMem."""

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.result import Result


class UnitMemResult(Result):
    """UnitMem of each unit, and of each layer against a holdout.

    ``to_pandas()`` has one row per unit. Columns: ``layer``, ``unit``, ``unit_mem``,
    ``mu_max``, ``mu_rest``, ``index`` and ``filename`` of the image with the largest
    activation, ``dead``.
    """

    kind = "unit-mem"
    first = "units"

    @property
    def has_holdout(self) -> bool:
        """Whether members were compared with a holdout."""
        return bool(self.tables["layers"]["member_share"].notna().any())

    @property
    def names_several_images(self) -> bool:
        """Whether it lists several images per unit, for ``top_images_to_pandas()``."""
        return len(self.tables.get("top_images", ())) > 0

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return one row per layer.

        Columns: ``layer``, ``kind``, ``units``, ``dead``, ``mean`` and ``median`` of
        UnitMem over live units, ``member_share`` and ``gap`` against the holdout, each
        with ``_low``, ``_high`` and ``_p`` (NaN without a holdout),
        ``member_share_null_low`` and ``member_share_null_high``, between which 95% of
        shares are by chance, and ``rectified``: whether the layer gave negative
        outputs, which were rectified.
        """
        return self.to_pandas("layers")

    def top_images_to_pandas(self) -> pd.DataFrame:
        """Return the images that activate each live unit most, one row per unit and image.

        Columns: ``layer``, ``unit``, ``rank`` (1 for the most activating), ``index``,
        ``filename``, ``role`` (``"member"``, or ``"holdout"`` for images that the
        encoder never saw, of which there are at most as many), and ``mu``, the image's
        mean activation over views.

        Raises:
            MemorizationError: If UnitMem was followed in training, which knows the one
                image that activates a unit most, or all units are dead.
        """
        if not self.names_several_images:
            raise MemorizationError(
                "This result lists one image per unit, as UnitMem followed in training "
                "does, or all units are dead: measure_unit_mem() names several."
            )
        images = self.tables["images"]
        top: pd.DataFrame = self.tables["top_images"].merge(images, on="index")
        columns = ["layer", "unit", "rank", "index", "filename", "role", "mu"]
        return top[columns]

    def scalars(self) -> dict[str, float]:
        """Return ``unit_mem/<layer>``, ``member_share/<layer>``, ``gap/<layer>``."""
        return (
            self._by_layer("unit_mem", "mean")
            | self._by_layer("member_share", "member_share")
            | self._by_layer("gap", "gap")
        )
