"""Images to try a model on when nobody gave any."""

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError

# The smallest first: it costs least.
_SIZES = (16, 28, 32, 64, 96, 128, 224, 256, 384, 512)


def example_images(model: nn.Module) -> Tensor:
    """Two blank images of a size that a model takes.

    Args:
        model: The model, in evaluation mode.

    Raises:
        MemorizationError: If no size of the usual ones fits.
    """
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    channels = convolutions[0].in_channels if convolutions else 3
    floating = [p.dtype for p in model.parameters() if p.is_floating_point()]
    dtype = floating[0] if floating else None
    reason = ""
    for size in _SIZES:
        shape = (2, channels, size, size)
        images = torch.zeros(shape, dtype=dtype, device=device_of(model))
        try:
            with torch.inference_mode():
                model(images)
        # Models refuse sizes with errors of any kind.
        except Exception as error:
            reason = str(error)
            continue
        return images
    raise MemorizationError(
        f"{type(model).__name__} takes no images of {_SIZES[0]} to {_SIZES[-1]} pixels "
        f"({reason}). Give two images that it takes with example=..."
    )


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))
