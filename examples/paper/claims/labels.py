"""Finding 2: SSL ties units to images, supervision ties them to classes."""

from claims.claim import Claim
from claims.layers import UNITS, late, rise

_WHOLE = "all layers"
_CONTROLS = ("untrained", "shuffled", "external")


def _above(measured, training, subject=None):
    """Share of units with UnitMem above ClassMem, for each layer and overall."""
    units = measured(training, "analysis", subject).to_pandas()["unit_class"]
    return units.set_index("layer")["above"]


def _ssl(measured):
    above = _above(measured, "simclr")[_WHOLE]
    return {("units with UnitMem above ClassMem, over half", "published"): above - 0.5}


def _supervised(measured):
    above = _above(measured, "supervised")[_WHOLE]
    return {("units with ClassMem above UnitMem, over half", "published"): 0.5 - above}


def _late(measured):
    above = _above(measured, "simclr") - _above(measured, "supervised")
    above = above.drop(_WHOLE).to_frame("share")
    tied = _tied_of_f(measured, "simclr") - _tied_of_f(measured, "supervised")
    effect = "SSL over supervised, last third over first"
    return {
        (effect, "published"): rise(above, "share"),
        (effect, "equal counts"): rise(tied.to_frame("share"), "share"),
    }


def _tied_of_f(measured, training):
    """Share of the units of f tied to an image of its training, by layer."""
    layers = measured(training, "ties").to_pandas()
    of = layers[(layers["encoder"] == "f") & (layers["seen"])]
    return of.set_index("layer")["tied"]


def _members(measured):
    ssl, supervised = measured.units("simclr"), measured.units("supervised")
    return {
        ("SSL over supervised, last third", estimator): (
            late(ssl, column) - late(supervised, column)
        )
        for estimator, column in UNITS.items()
    }


def _tied(training, to, sign):
    """Share of units tied to an image rather than a class, seen over unseen.

    Both shares are means over f and g. Candidates are seen by f and unseen by g, and
    independent images are seen by g and unseen by f.
    """

    def measure(measured):
        layers = measured(training, "ties").to_pandas()
        layers["weighted"] = layers["tied"] * layers["units"]
        total = layers.groupby(["encoder", "seen"])[["weighted", "units"]].sum()
        share = (total["weighted"] / total["units"]).groupby("seen").mean()
        return {
            (f"units tied to {to}, over half", "equal counts"): (
                sign * (share[True] - 0.5)
            ),
            (f"units tied to {to}, training images over unseen", "seen over unseen"): (
                sign * (share[True] - share[False])
            ),
        }

    return measure


CLAIMS = [
    Claim(
        "2a",
        "Most units of an SSL encoder are tied to an image more than to a class.",
        _ssl,
        None,
        _CONTROLS,
    ),
    Claim(
        "2b",
        "Most units of a supervised encoder are tied to a class more than to an image.",
        _supervised,
        None,
    ),
    Claim(
        "2c",
        "SSL and supervised encoders differ most in late layers.",
        _late,
        "published",
    ),
    Claim(
        "2d",
        "Members win more units of an SSL encoder than of a supervised one.",
        _members,
        "member share",
    ),
    Claim(
        "2e",
        "SSL ties units to single training images more than to their classes.",
        _tied("simclr", "an image", +1),
        "seen over unseen",
        _CONTROLS,
    ),
    Claim(
        "2f",
        "Supervision ties units to the classes of training images more than to single "
        "images.",
        _tied("supervised", "a class", -1),
        "seen over unseen",
    ),
]
