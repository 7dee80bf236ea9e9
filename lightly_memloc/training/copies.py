"""Copies of runs: identical weights are one training."""

from collections.abc import Iterable

from torch import nn

from lightly_memloc.runtime import weights_fingerprint


class Copies:
    """Tells runs whose encoders were already seen: a copied run is no new training."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def original_of(self, name: str, encoders: Iterable[nn.Module]) -> str | None:
        """Return the run that shares an encoder with this one, if one came before.

        Args:
            name: The run's name.
            encoders: Its encoders.
        """
        weights = [weights_fingerprint(encoder) for encoder in encoders]
        for fingerprint in weights:
            if fingerprint in self._seen:
                return self._seen[fingerprint]
        self._seen |= dict.fromkeys(weights, name)
        return None


def copied(original: str) -> str:
    """Say why a copy of a run is left out.

    Args:
        original: The run whose encoders it has.
    """
    return f"its encoders are those of {original}, and a copy is no further training."
