"""Finding 3: atypical images cause far more memorisation than ordinary ones."""

from claims.claim import Claim


def _extremes(measured):
    last = measured("simclr", "analysis").to_pandas()["atypical"].iloc[-1]
    return _over_external(
        "most over least memorised", last["difference"], last["external_difference"]
    )


def _unlike(measured):
    result = measured("simclr", "layer-mem")
    samples, distances = result.samples_to_pandas(), result.distances_to_pandas()
    last = samples.columns[-1]

    def contrast(role):
        of = samples["role"] == role
        unseen = distances.loc[of, f"g:{last}"]
        atypical = unseen > unseen.median()
        scores = samples.loc[of, last]
        return scores[atypical].mean() - scores[~atypical].mean()

    return _over_external(
        "atypical over ordinary", contrast("candidate"), contrast("external")
    )


def _over_external(effect, candidate, external):
    return {
        (effect, "published"): candidate,
        (effect, "over external"): candidate - external,
    }


CONTROLS = ("untrained", "shuffled", "external")
CLAIMS = [
    Claim(
        "3a",
        "The most memorised images are memorised far more than the least memorised.",
        _extremes,
        "over external",
        CONTROLS,
    ),
    Claim(
        "3b",
        "Images hard to align for an encoder that never saw them are memorised more.",
        _unlike,
        "over external",
        CONTROLS,
    ),
]
