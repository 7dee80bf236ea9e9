"""The result of membership inference from alignment."""

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import membership
from lightly_memloc.results.layer_mem import LayerMemResult
from lightly_memloc.results.result import Result


class MembershipResult(Result):
    """How well each layer tells candidates from external images."""

    kind = "membership"

    @classmethod
    def from_layer_mem(cls, result: LayerMemResult) -> "MembershipResult":
        """Attack the images of a LayerMem measurement.

        Two scores are tried in each layer: the encoder's own alignment, which needs no
        other encoder, and SSLMem, which needs a reference encoder that was not trained
        on the candidates.

        Args:
            result: The measurement, with external images.

        Raises:
            MemorizationError: If it lacks external images.
        """
        layers = result.to_pandas()[["layer", "kind"]]
        distances, samples = result.distances_to_pandas(), result.samples_to_pandas()
        is_member = (samples["role"] == "candidate").to_numpy()
        is_external = (samples["role"] == "external").to_numpy()
        if is_external.sum() < 2:
            raise MemorizationError(
                "Membership is inferred against external images, which no encoder was "
                f"trained on: the measurement has {is_external.sum()}."
            )
        names = layers["layer"].tolist()
        scores = {"alignment": -distances[[f"f:{name}" for name in names]].to_numpy()}
        if result.settings["reference"]:
            scores["ssl_mem"] = samples[names].to_numpy()
        tables = [
            layers.assign(
                score=score,
                **membership(
                    values[is_member],
                    values[is_external],
                    seed=int(result.settings["seed"]),
                )._asdict(),
            )
            for score, values in scores.items()
        ]
        images = {"candidate": int(is_member.sum()), "external": int(is_external.sum())}
        return cls(
            {"images": images, "false_positives": 0.01, "skipped": []},
            {"layers": pd.concat(tables, ignore_index=True)},
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a score and layer.

        Columns: ``layer``, ``kind``, ``score`` (``"alignment"`` of f alone, or
        ``"ssl_mem"`` against g); ``auc`` and ``tpr``, the true positive rate at 1%
        false positives, each with ``_low`` and ``_high``; ``auc_p``.
        """
        return self.tables["layers"].copy()

    def scalars(self) -> dict[str, float]:
        """Return the AUC of each layer, ``<score>_auc/<layer>``."""
        columns = [self.tables["layers"][c] for c in ("score", "layer", "auc")]
        return {
            f"{score}_auc/{layer}": float(auc)
            for score, layer, auc in zip(*columns, strict=True)
        }
