"""Membership inference from alignment."""

import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import membership
from lightly_memloc.results import LayerMemResult, MembershipResult


def infer_membership(result: LayerMemResult) -> MembershipResult:
    """Infer membership from the alignment of a LayerMem measurement.

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
    tables = []
    for score, values in scores.items():
        separated = membership(
            values[is_member], values[is_external], seed=int(result.settings["seed"])
        )
        columns = separated.auc.columns("auc") | separated.tpr.columns("tpr")
        tables.append(layers.assign(score=score, **columns))
    images = {"candidate": int(is_member.sum()), "external": int(is_external.sum())}
    return MembershipResult(
        {"images": images, "false_positives": 0.01, "skipped": []},
        {"layers": pd.concat(tables, ignore_index=True)},
    )
