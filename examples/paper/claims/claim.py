"""A claim of the paper, as an effect that is measured in each pair of encoders."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A claim and how it is tested.

    Attributes:
        name: Number of the paper's finding, with a letter.
        text: The claim in words.
        measure: Function that computes the effects in a pair, by effect and estimator,
            from its measurements. An effect is positive if the paper is right.
        decides: Estimator that decides the verdict; each of its effects must show.
            None for a claim that cannot be tested as it is stated.
        controls: Controls, with nothing to find, on which effects are also measured.
    """

    name: str
    text: str
    measure: Callable
    decides: str | None
    controls: tuple[str, ...] = ()
