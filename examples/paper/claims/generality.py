"""Finding 7: it holds across methods, grows in training, and can be lowered."""

from statistics import mean

from claims.claim import Claim
from claims.depth import ESTIMATORS, UNITS, rise

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
    grown = _units(measured, "simclr", "simclr", "untrained")
    return {
        ("last tenth of the epochs over the first", "published"): (
            mean(by_epoch[-tenth:]) - mean(by_epoch[:tenth])
        ),
        **{("trained over untrained", name): value for name, value in grown.items()},
    }


def _lowered(less, more):
    """How much more is memorised in one training than in another."""

    def measure(measured):
        layers = [
            measured(training, "layer-mem").to_pandas().iloc[-1]
            for training in (more, less)
        ]
        effects = {
            ("LayerMem, last layer", estimator): layers[0][column] - layers[1][column]
            for estimator, column in ESTIMATORS.items()
        }
        units = _units(measured, more, less)
        return effects | {("UnitMem", name): value for name, value in units.items()}

    return measure


def _units(measured, more, less, subject=None):
    """How much more units memorise in one training than in another, mean of layers."""
    trained, other = measured.units(more), measured.units(less, subject)
    return {
        estimator: (trained[column] - other[column]).mean()
        for estimator, column in UNITS.items()
    }


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
