"""The result of measuring UnitMem."""

from collections.abc import Sequence
from typing import ClassVar

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.result import Result, estimated


class UnitMemResult(Result):
    """UnitMem of each unit, and of each layer against a holdout.

    ``to_pandas()`` has one row per unit. Columns: ``layer``, ``unit``, ``unit_mem``,
    ``mu_max``, ``mu_rest``, ``index`` and ``filename`` of the image with the largest
    activation, ``dead``, ``agreement``: whether this image is the same over both halves
    of the views (1 or 0; NaN for dead units, or if UnitMem was followed in training),
    and ``weak``: whether ``mu_max`` is below 1% of the layer's median.
    """

    kind = "unit-mem"
    first = "units"
    required_settings = ("images",)
    required: ClassVar = {
        "layers": (
            *("layer", "kind", "units", "dead", "mean", "median", "rectified"),
            *estimated("member_share", "gap"),
        ),
        "units": (
            *("layer", "unit", "unit_mem", "mu_max", "mu_rest"),
            *("index", "filename", "dead"),
        ),
    }
    optional: ClassVar = {
        "top_images": ("layer", "unit", "rank", "index", "mu"),
        "images": ("index", "filename", "role"),
    }

    @property
    def has_holdout(self) -> bool:
        """Whether members were compared with a holdout."""
        return bool(self.tables["layers"]["member_share"].notna().any())

    @property
    def has_reference(self) -> bool:
        """Whether a reference encoder was measured on the same images."""
        return {"member_share_f", "gap_f"} <= {*self.tables["layers"]}

    @property
    def names_several_images(self) -> bool:
        """Whether it lists several images per unit, for ``top_images_to_pandas()``."""
        return len(self.tables.get("top_images", ())) > 0

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return one row per layer.

        Columns: ``layer``, ``kind``, ``units``, ``dead``, ``mean`` and ``median`` of
        UnitMem over live units, ``null``: the mean to expect if no image were special,
        ``agreement``: the share of live units whose winner is the same over both halves
        of the views, ``weak``: the number of weak units, ``member_share`` and ``gap``
        against the holdout, each with ``_low``, ``_high``, ``_p`` and ``_p_adjusted``
        for the number of layers (NaN without a holdout), ``member_share_null_low`` and
        ``member_share_null_high``, between which 95% of shares are by chance, and
        ``rectified``: whether the layer gave negative outputs, which were rectified.

        Without a reference encoder, ``matched_share`` with the same endings is the
        member share among images of either set that have a counterpart in the other, by
        what a classifier that never saw the encoder makes of them; its p-value permutes
        membership among images that are alike.

        With a reference encoder, member share and gap are averages over both encoders
        with the roles exchanged. ``member_share_f`` and ``gap_f`` with the same endings
        are those of the measured encoder alone.

        Results of older versions lack ``null``, ``agreement``, ``weak`` and
        ``_p_adjusted``.
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


# What UnitMem depends on, other than the encoder, and how messages call it.
_CONDITIONS = {
    "images": "number of images",
    "n_views": "number of views",
    "rectify": "rectification",
}


def refuse_incomparable(results: Sequence[Result]) -> None:
    """Check that results of unit metrics can be compared.

    The maximum grows with the number of images, shrinks with the number of views, and
    rectified outputs have another mean.

    Args:
        results: Results of UnitMem or ClassMem.

    Raises:
        MemorizationError: If they differ in the number of images, the number of views
            or the rectification.
    """
    for name, called in _CONDITIONS.items():
        found = sorted({str(result.settings.get(name)) for result in results})
        if len(found) > 1:
            raise MemorizationError(
                f"These results differ in the {called} ({' and '.join(found)}), on which "
                "UnitMem depends: compare results with the same one."
            )
