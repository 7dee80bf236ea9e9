"""The result of membership inference from alignment."""

from typing import ClassVar

from lightly_memloc.results.result import Result, estimated


class MembershipResult(Result):
    """How well each layer separates candidates from external images.

    ``to_pandas()`` has one row per score and layer. Columns: ``layer``, ``kind``,
    ``score`` (``"alignment"`` of f alone, ``"adjusted_alignment"``, which allows for
    covariates, or ``"ssl_mem"`` against g); ``auc`` and
    ``tpr``, the true positive rate at 1% false positives, each with ``_low``,
    ``_high``, ``_p`` and ``_p_adjusted``, which is adjusted for the layers of a score.
    By chance, ``auc`` is 0.5 and ``tpr`` is at most 0.01. ``tpr`` is NaN with fewer than
    99 external images, or groups of them.

    If covariates were measured, ``to_pandas("samples")`` has one row per candidate, the
    highest score first: ``index``, ``filename``, ``score`` (mean adjusted alignment
    over the last third of the layers), ``p`` and ``q``. ``settings["overall"]`` says how
    well this score separates candidates from external images.
    """

    kind = "membership"
    first = "layers"
    required_settings = ("images",)
    required: ClassVar = {
        "layers": (
            "layer",
            "kind",
            "score",
            *estimated("auc"),
            "tpr",
            "tpr_low",
            "tpr_high",
        )
    }

    def scalars(self) -> dict[str, float]:
        """Return the AUC of each layer, ``<score>_auc/<layer>``."""
        columns = [self.tables["layers"][c] for c in ("score", "layer", "auc")]
        return {
            f"{score}_auc/{layer}": float(auc)
            for score, layer, auc in zip(*columns, strict=True)
        }
