"""The image that activates each unit most."""

import torch
from torch import Tensor

NO_IMAGE = torch.iinfo(torch.int64).max


def winning_image(activations: Tensor, images: Tensor) -> Tensor:
    """Indices of the images of the largest activations; of equal ones the smallest.

    Args:
        activations: Shape ``(N, U)``.
        images: Indices of their images, shape ``(N, U)``.

    Returns:
        Shape ``(U,)``.
    """
    tied = activations == activations.amax(dim=0)
    return torch.where(tied, images, NO_IMAGE).amin(dim=0)
