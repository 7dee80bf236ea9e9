"""Statistics of an image's views that no encoder has a part in."""

import torch
from torch import Tensor

from lightly_memloc.functional.alignment_distance import alignment_distance

PIXEL_STATISTICS = (
    "log_distance",
    "log_normalized_distance",
    "mean",
    "squared_mean",
    "deviation",
)

# Distances below it count as this small: their logarithm is finite.
_SMALLEST = 1e-12


def pixel_statistics(views: Tensor) -> Tensor:
    """Compute what the pixels of an image's views say of how hard it is to align.

    Args:
        views: Views of shape ``(B, V, C, H, W)`` with ``V >= 2`` views of each of ``B``
            images.

    Returns:
        Tensor of shape ``(B, 5)``: the logarithm of the alignment distance of the
        pixels, as they are and divided by their L2 norm, the mean over all views and
        pixels, its square, and the standard deviation. Double precision where the
        device has it.

    Raises:
        ValueError: If there are fewer than two views.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import pixel_statistics
        >>> views = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])[None]
        >>> pixel_statistics(views)
        tensor([[0.6931, 0.0000, 0.5000, 0.2500, 0.5000]], dtype=torch.float64)
    """
    distances = torch.stack(
        [alignment_distance(views, normalize) for normalize in (False, True)], dim=1
    )
    pixels = views.flatten(1).to(distances.dtype)
    mean = pixels.mean(dim=1)
    deviation = pixels.std(dim=1, correction=0)
    of_pixels = torch.stack([mean, mean**2, deviation], dim=1)
    return torch.cat([distances.clamp_min(_SMALLEST).log(), of_pixels], dim=1)
