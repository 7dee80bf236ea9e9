"""The result of membership inference from alignment."""

from lightly_memloc.results.result import Result


class MembershipResult(Result):
    """How well each layer separates candidates from external images.

    ``to_pandas()`` has one row per score and layer. Columns: ``layer``, ``kind``,
    ``score`` (``"alignment"`` of f alone, or ``"ssl_mem"`` against g); ``auc`` and
    ``tpr``, the true positive rate at 1% false positives, each with ``_low``,
    ``_high``, ``_p`` and ``_p_adjusted``, which is adjusted for the layers of a score.
    By chance, ``auc`` is 0.5 and ``tpr`` is at most 0.01. ``tpr`` is NaN with fewer than
    99 external images, or groups of them.
    """

    kind = "membership"
    first = "layers"

    def scalars(self) -> dict[str, float]:
        """Return the AUC of each layer, ``<score>_auc/<layer>``."""
        columns = [self.tables["layers"][c] for c in ("score", "layer", "auc")]
        return {
            f"{score}_auc/{layer}": float(auc)
            for score, layer, auc in zip(*columns, strict=True)
        }
