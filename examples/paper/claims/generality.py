"""Finding 7: methods and architectures, growth in training, differential privacy."""

from statistics import mean

from claims.claim import Claim
from claims.layers import ESTIMATORS, UNITS, late, rise

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
    return {
        ("last tenth of the epochs over the first", "published"): (
            mean(by_epoch[-tenth:]) - mean(by_epoch[:tenth])
        )
    }


def _units(less, more, less_subject=None):
    """Difference in the memorisation of late layers' units between two trainings."""

    def measure(measured):
        units = measured.units(more), measured.units(less, less_subject)
        return {
            ("last third of layers", estimator): (
                late(units[0], column) - late(units[1], column)
            )
            for estimator, column in UNITS.items()
        }

    return measure


def _layers(less, more):
    """Difference in the memorisation of the last layer between two trainings."""

    def measure(measured):
        layers = [
            measured(training, "layer-mem").to_pandas().iloc[-1]
            for training in (more, less)
        ]
        return {
            ("last layer", estimator): layers[0][column] - layers[1][column]
            for estimator, column in ESTIMATORS.items()
        }

    return measure


CLAIMS = [
    Claim(
        "7a",
        "LayerMem rises with depth in every method and architecture.",
        _every_method,
        "symmetric",
    ),
    Claim("7b", "UnitMem grows over training.", _grows, "published"),
    Claim(
        "7c",
        "Members win more units of a trained encoder than of an untrained one.",
        _units("simclr", "simclr", "untrained"),
        "member share",
    ),
    Claim(
        "7f",
        "Differential privacy lowers LayerMem.",
        _layers("private_mae", "mae"),
        "symmetric",
    ),
    Claim(
        "7g",
        "Under differential privacy members win fewer units.",
        _units("private_mae", "mae"),
        "member share",
    ),
]
