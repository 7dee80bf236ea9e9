"""The result of curating: the most memorised images, and training without them."""

from typing import ClassVar

import pandas as pd

from lightly_memloc.results.result import Result, estimated


class CurationResult(Result):
    """The most memorised images, and the effect of training without them.

    ``to_pandas()`` has one row per image, the most memorised first. Columns: ``index``,
    ``filename``, ``role``, ``ssl_mem`` in the last layer, ``p`` and ``q``. For a single
    run, ``p`` is the share of external images, which neither encoder was trained on, that
    score at least as high. For several runs, it comes from exchanged roles, and the
    table has the score's ``runs``, standard error, interval and ``ssl_mem_shrunk``. ``q``
    is the false discovery rate at which the image is listed; results of version 0.1.0
    lack it.

    ``settings["number"]`` is the length of the list, and ``settings["by_chance"]`` how
    many of its images are expected there by chance, or None if that is unknown.
    """

    kind = "curation"
    first = "samples"
    required_settings = ("number", "scored")
    required: ClassVar = {"samples": ("index", "filename", "role", "ssl_mem", "p")}
    optional: ClassVar = {
        "layers": (
            *("layer", "kind", "original", "without_memorized", "without_random"),
            *estimated("difference"),
            *("removed_before", "removed_after"),
        ),
        "accuracy": ("encoder", "accuracy", "low", "high"),
    }

    def lacks(self) -> str | None:
        """Say what a saved result lacks that belongs to what it has."""
        found = super().lacks()
        is_newer = "by_chance" in self.settings
        if found is None and is_newer and "q" not in self.tables.types("samples"):
            return "the column 'q' of the table 'samples'"
        if found is None and self.is_retrained and "images" not in self.settings:
            return "the setting 'images'"
        return found

    @property
    def is_retrained(self) -> bool:
        """Whether an encoder was trained without the images."""
        return {"layers", "accuracy"} <= self.tables.keys()

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return one row per layer, if an encoder was trained without the images.

        Columns: ``layer``, ``kind``; calibrated LayerMem of the encoders ``original``,
        ``without_memorized`` and ``without_random``, over the candidates that all three
        were trained on; ``difference``, without the memorised minus without random
        ones; ``removed_before`` and ``removed_after``, that of the removed memorised
        images in the original and in the encoder that was trained without them, both
        high by selection; ``removed_effect``, by how much that of the removed images is
        higher in the encoder that was trained without random ones, and therefore on
        them, than in the one that was not. As neither of the two chose the images, the
        effect is not biased by selection. It and the difference have interval and
        p-value over images in ``_low``, ``_high`` and ``_p``. Results of version 0.1.0
        have no effect, but an interval of ``removed_after``.
        """
        return self.to_pandas("layers")

    def accuracy_to_pandas(self) -> pd.DataFrame:
        """Return one row per encoder: ``accuracy``, its 95% interval ``low``, ``high``."""
        return self.to_pandas("accuracy")

    def scalars(self) -> dict[str, float]:
        """Return accuracies, and the difference of LayerMem in each layer."""
        if not self.is_retrained:
            return {}
        columns = [self.tables["accuracy"][name] for name in ("encoder", "accuracy")]
        accuracies = {
            f"accuracy/{encoder}": float(value)
            for encoder, value in zip(*columns, strict=True)
        }
        return accuracies | self._by_layer("difference", "difference")
