"""A claim of the paper, as a number that each pair of encoders gives."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A claim, and how it is put to the test.

    Attributes:
        name: Number of the paper's finding, with a letter.
        text: The claim in words.
        measure: Gives the effects in a pair, by effect and estimator, from what was
            measured of it; positive where the pair is as the paper says.
        decides: The estimators that the verdict rests on: each effect must show in all.
        controls: Encoders and roles with nothing to find, on which the same is measured.
    """

    name: str
    text: str
    measure: Callable
    decides: tuple[str, ...]
    controls: tuple[str, ...] = ()
