"""Rectification: which layers give negative outputs, and what is made of them."""

from collections.abc import Sequence

from torch import Tensor

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional.unit_activation import RECTIFICATIONS, Rectify
from lightly_memloc.layers import CapturedLayer
from lightly_memloc.runtime import gathered


class Rectification:
    """Rectify layers that give negative outputs, and remember which did.

    Args:
        rectify: How negative outputs are rectified.

    Raises:
        MemorizationError: If ``rectify`` is unknown.

    Attributes:
        negative: Names of the layers that gave negative outputs so far.
    """

    def __init__(self, rectify: Rectify) -> None:
        if rectify not in RECTIFICATIONS:
            raise MemorizationError(
                f"Expected rectify to be one of {RECTIFICATIONS}, got {rectify!r}."
            )
        self.rectify = rectify
        self.negative: set[str] = set()

    def of(self, layer: CapturedLayer, output: Tensor) -> Rectify:
        """How to rectify an output; not at all if there is nothing to rectify."""
        if layer.name not in self.negative and bool(output.amin() < 0):
            self.negative.add(layer.name)
        return self.rectify if layer.name in self.negative else "none"

    def rectified(self, layers: Sequence[CapturedLayer]) -> list[bool]:
        """Whether each layer was rectified, on any process."""
        negative = set().union(*gathered(self.negative))
        return [self.rectify != "none" and layer.name in negative for layer in layers]
