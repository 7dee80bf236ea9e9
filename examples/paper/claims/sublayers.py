"""Finding 4: in a vision transformer the MLPs memorise more than attention."""

from claims.claim import Claim

_DELTAS = {
    "published": "delta",
    "calibrated": "calibrated_delta",
    "symmetric": "symmetric_delta",
}


def _mlp_over_attention(training):
    def measure(measured):
        layers = measured(training, "layer-mem").to_pandas()
        of = layers.groupby("kind")
        return {
            ("MLP over attention, step of a block", estimator): (
                of.get_group("mlp")[column].mean()
                - of.get_group("attention")[column].mean()
            )
            for estimator, column in _DELTAS.items()
        }

    return measure


CLAIMS = [
    Claim(
        f"4{letter}",
        f"With {title}, MLPs of a vision transformer memorise more than attention.",
        _mlp_over_attention(training),
        "symmetric",
        controls,
    )
    for letter, title, training, controls in (
        ("a", "SimCLR", "simclr_vit", ("untrained", "shuffled", "external")),
        ("b", "MAE", "mae", ()),
    )
]
