"""Finding 6: neighbouring layers memorise the same images."""

from claims.claim import Claim


def _near_and_far(measured):
    pairs = measured("simclr", "analysis").to_pandas()["consistency"]
    near = pairs[pairs["distance"] == 1].mean(numeric_only=True)
    far = pairs[pairs["distance"] >= pairs["distance"].max() - 1].mean(
        numeric_only=True
    )
    tau = near["tau"] - far["tau"]
    return {
        ("overlap of neighbours over distant layers", "published"): (
            near["overlap"] - far["overlap"]
        ),
        ("tau of neighbours over distant layers", "published"): tau,
        ("tau of neighbours over distant layers", "over external"): (
            tau - (near["external_tau"] - far["external_tau"])
        ),
    }


CLAIMS = [
    Claim(
        "6",
        "Neighbouring layers memorise the same images; distant layers do not.",
        _near_and_far,
        "over external",
        ("untrained", "shuffled", "external"),
    ),
]
