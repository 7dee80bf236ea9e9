"""Finding 1: memorisation rises with depth and occurs in every layer."""

from claims.claim import Claim
from claims.layers import ESTIMATORS, rise


def _rises(measured):
    layers = measured("simclr", "layer-mem").to_pandas()
    return {
        ("last third of layers over first", estimator): rise(layers, column)
        for estimator, column in ESTIMATORS.items()
    }


def _in_every_layer(measured):
    layers = measured.units("simclr")
    units = measured("simclr", "unit-mem").to_pandas()
    top = units[~units["dead"]].groupby("layer", sort=False)["unit_mem"].quantile(0.9)
    effects = {}
    for layer, share in zip(layers["layer"], layers["member_share"], strict=True):
        effects[layer, "published"] = top[layer]
        effects[layer, "member share"] = share - 0.5
    return effects


CLAIMS = [
    Claim(
        "1a",
        "LayerMem rises with depth.",
        _rises,
        "symmetric",
        ("untrained", "shuffled", "external"),
    ),
    Claim(
        "1b",
        "Every layer contains highly memorising units.",
        _in_every_layer,
        "member share",
        ("untrained", "shuffled", "external"),
    ),
]
