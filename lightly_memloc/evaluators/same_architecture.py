"""Refusing to compare encoders of different architecture."""

from torch import nn

from lightly_memloc.errors import MemorizationError


def refuse_different_architectures(f: nn.Module, g: nn.Module) -> None:
    """Raise if two encoders differ in the names or shapes of their weights.

    Raises:
        MemorizationError: If they do; names the first difference.
    """
    shapes_f, shapes_g = (
        {name: tuple(value.shape) for name, value in model.state_dict().items()}
        for model in (f, g)
    )
    for name in [*shapes_f, *shapes_g]:
        shape_f, shape_g = shapes_f.get(name), shapes_g.get(name)
        if shape_f != shape_g:
            raise MemorizationError(
                f"f and g differ in architecture: {name} has shape "
                f"{shape_f or 'none (it is missing)'} in f and "
                f"{shape_g or 'none (it is missing)'} in g. Their layers cannot be "
                "compared; give the encoders the same architecture."
            )
