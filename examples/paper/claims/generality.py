"""Finding 7: it holds across methods, grows in training, and can be lowered."""

from statistics import mean

from claims.claim import Claim
from claims.depth import ESTIMATORS, rise

_TRAININGS = ("simclr", "byol", "simclr_vit", "mae")


def _every_method(measured):
    effects = {}
    for training in _TRAININGS:
        layers = measured(training, "layer-mem").to_pandas()
        for estimator, column in ESTIMATORS.items():
            effects[training, estimator] = rise(layers, column)
    return effects


def _grows(measured):
    by_epoch = measured.mean_unit_mem_by_epoch("simclr")
    tenth = max(1, len(by_epoch) // 10)
    trained, untrained = (
        measured("simclr", "unit-mem", subject).layers_to_pandas()
        for subject in ("trained", "untrained")
    )
    return {
        ("last tenth of the epochs over the first", "published"): (
            mean(by_epoch[-tenth:]) - mean(by_epoch[:tenth])
        ),
        ("trained over untrained", "published"): (
            trained["mean"] - untrained["mean"]
        ).mean(),
        ("trained over untrained", "member share"): (
            trained["member_share"] - untrained["member_share"]
        ).mean(),
    }


def _lowered(less, more):
    """How much more is memorised in one training than in another."""

    def measure(measured):
        layers, units = [], []
        for training in (more, less):
            layers.append(measured(training, "layer-mem").to_pandas().iloc[-1])
            units.append(
                measured(training, "unit-mem")
                .layers_to_pandas()
                .mean(numeric_only=True)
            )
        effects = {
            ("LayerMem, last layer", estimator): layers[0][column] - layers[1][column]
            for estimator, column in ESTIMATORS.items()
        }
        return effects | {
            ("UnitMem", estimator): units[0][column] - units[1][column]
            for estimator, column in (
                ("published", "mean"),
                ("member share", "member_share"),
            )
        }

    return measure


CLAIMS = [
    Claim(
        "7a",
        "LayerMem rises with depth in every method and architecture.",
        _every_method,
        ("symmetric",),
    ),
    Claim(
        "7b",
        "UnitMem grows over training, and members' share of the units with it.",
        _grows,
        ("published", "member share"),
    ),
    Claim(
        "7c",
        "Stronger augmentation lowers memorisation.",
        _lowered("simclr_strong", "simclr"),
        ("symmetric", "member share"),
    ),
    Claim(
        "7d",
        "Differential privacy lowers memorisation.",
        _lowered("private_mae", "mae"),
        ("symmetric", "member share"),
    ),
]
