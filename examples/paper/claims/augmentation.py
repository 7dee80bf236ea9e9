"""Finding 7: stronger augmentation in training lowers memorisation.

LayerMem and UnitMem depend on the augmentation that they are measured with. Encoders are
therefore compared under the same augmentation, once under each of both.
"""

from scale import AUGMENTED

from claims.claim import Claim
from claims.layers import ESTIMATORS, UNITS, late

_WEAKER, _STRONGER = AUGMENTED


def _under(training, other):
    """Subject of a training's encoders, measured with the augmentation of another."""
    return "trained" if training == other else f"under/{other}"


def _compared(of_training):
    """Compare both trainings: under each augmentation, and each under its own.

    Args:
        of_training: Function that computes the numbers of a training, by estimator,
            from the measurements, the training and the subject.
    """

    def measure(measured):
        numbers = {
            (training, by): of_training(measured, training, _under(training, by))
            for training in AUGMENTED
            for by in AUGMENTED
        }
        effects = {}
        for by, name in AUGMENTED.items():
            for estimator, value in numbers[_WEAKER, by].items():
                if estimator != "published":
                    effects[f"measured under {name}", estimator] = (
                        value - numbers[_STRONGER, by][estimator]
                    )
        for estimator, value in numbers[_WEAKER, _WEAKER].items():
            own = value - numbers[_STRONGER, _STRONGER][estimator]
            shown = estimator if estimator == "published" else f"{estimator}, own"
            effects["each measured under its own augmentation", shown] = own
        return effects

    return measure


def _last_layer(measured, training, subject):
    last = measured(training, "layer-mem", subject).to_pandas().iloc[-1]
    return {estimator: last[column] for estimator, column in ESTIMATORS.items()}


def _late_units(measured, training, subject):
    units = measured.units(training, subject)
    return {estimator: late(units, column) for estimator, column in UNITS.items()}


CLAIMS = [
    Claim(
        "7d",
        "Stronger augmentation in training lowers LayerMem.",
        _compared(_last_layer),
        "symmetric",
    ),
    Claim(
        "7e",
        "After training with stronger augmentation members win fewer units.",
        _compared(_late_units),
        "member share",
    ),
]
