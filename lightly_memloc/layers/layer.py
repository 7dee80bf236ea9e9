"""A layer: a named place in a model where memorisation can be measured."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Site:
    """Where in the forward pass a tensor is read.

    Attributes:
        module: Dotted name of the module, as in ``model.named_modules()``.
        side: Whether the module's input or its output is read.
        call: Which of the module's calls in one forward pass, from 0; None for each of
            them, as a layer of its own.
        channel_dim: Dimension of the units; None for 1, and the last one of token
            streams (three dimensions).
        stage: Whether the site moves on along the norm, activation, pooling and other
            modules without weights that take the module's output in the run: to the
            stage's ``"end"`` or to its last ``"activation"``. None if it stays.
    """

    module: str
    side: Literal["input", "output"] = "output"
    call: int | None = None
    channel_dim: int | None = None
    stage: Literal["end", "activation"] | None = None


@dataclass(frozen=True)
class Layer:
    """A layer of an encoder.

    Attributes:
        name: Unique name: the dotted name of the module that holds the layer's
            weights, or of the block whose output it is.
        kind: ``"conv"``, ``"linear"``, ``"block"`` (a residual block), ``"attention"``
            and ``"mlp"`` (the two halves of a transformer block), ``"hidden"`` and
            ``"projection"`` (units of a transformer block), ``"norm"``, ``"pool"``, or
            the lower-case class name of a module that was chosen by its name.
        state: Where the state after the layer is read, for LayerMem; None if the
            layer has units only.
        units: Where its units are read, for UnitMem and ClassMem; None if it has a
            state only.
    """

    name: str
    kind: str
    state: Site | None
    units: Site | None
