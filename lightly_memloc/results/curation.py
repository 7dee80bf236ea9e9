"""The result of curating: the most memorised images, and training without them."""

import pandas as pd

from lightly_memloc.results.result import Result


class CurationResult(Result):
    """The most memorised images, and what training without them does."""

    kind = "curation"

    @property
    def is_retrained(self) -> bool:
        """Whether it was trained without the images."""
        return "layers" in self.tables

    def to_pandas(self) -> pd.DataFrame:
        """Return a row an image, the most memorised first.

        Columns: ``index``, ``filename``, ``role``, ``ssl_mem`` in the last layer, and
        ``p``: for a single run, the share of external images that score as high, which
        nobody was trained on; for several runs, that of Student's t-test over runs,
        with the score's ``runs``, standard error and interval.
        """
        return self.tables["samples"].copy()

    def layers_to_pandas(self) -> pd.DataFrame:
        """Return a row a layer, if it was trained without the images.

        Columns: ``layer``, ``kind``; calibrated LayerMem of the encoders ``original``,
        ``without_memorized`` and ``without_random``, over the candidates that all three
        were trained on; ``difference``, without the memorised minus without random
        ones; ``removed_before`` and ``removed_after``, that of the removed memorised
        images in the original and in the encoder that was trained without them. The
        last and the difference have interval and p-value over images in ``_low``,
        ``_high`` and ``_p``.
        """
        return self.tables["layers"].copy()

    def accuracy_to_pandas(self) -> pd.DataFrame:
        """Return a row an encoder: ``accuracy`` with its 95% interval ``low``, ``high``."""
        return self.tables["accuracy"].copy()

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
