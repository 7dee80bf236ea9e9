"""Finding 2: SSL ties units to images, supervision ties them to classes."""

from claims.claim import Claim
from claims.layers import UNITS, late, rise

_WHOLE = "all layers"


def _above(measured, training, subject=None):
    """Share of units with UnitMem above ClassMem, for each layer and overall."""
    units = measured(training, "analysis", subject).to_pandas()["unit_class"]
    return units.set_index("layer")["above"]


def _ssl(measured):
    above = _above(measured, "simclr")[_WHOLE]
    untrained = _above(measured, "simclr", "untrained")[_WHOLE]
    return {
        ("units tied to an image, over half", "published"): above - 0.5,
        ("units tied to an image", "over untrained"): above - untrained,
    }


def _supervised(measured):
    above = _above(measured, "supervised")[_WHOLE]
    untrained = _above(measured, "simclr", "untrained")[_WHOLE]
    return {
        ("units tied to a class, over half", "published"): 0.5 - above,
        ("units tied to a class", "over untrained"): untrained - above,
    }


def _late(measured):
    difference = _above(measured, "simclr") - _above(measured, "supervised")
    by_layer = difference.drop(_WHOLE).to_frame()
    return {
        ("SSL over supervised, last third over first", "published"): rise(
            by_layer, "above"
        )
    }


def _members(measured):
    ssl, supervised = measured.units("simclr"), measured.units("supervised")
    return {
        ("SSL over supervised, last third", estimator): (
            late(ssl, column) - late(supervised, column)
        )
        for estimator, column in UNITS.items()
    }


CLAIMS = [
    Claim(
        "2a",
        "Most units of an SSL encoder are tied to an image more than to a class.",
        _ssl,
        ("published", "over untrained"),
        ("untrained", "shuffled", "external"),
    ),
    Claim(
        "2b",
        "Most units of a supervised encoder are tied to a class more than to an image.",
        _supervised,
        ("published", "over untrained"),
    ),
    Claim(
        "2c",
        "SSL and supervised encoders differ most in late layers.",
        _late,
        ("published",),
    ),
    Claim(
        "2d",
        "Members win more units of an SSL encoder than of a supervised one.",
        _members,
        ("member share",),
    ),
]
