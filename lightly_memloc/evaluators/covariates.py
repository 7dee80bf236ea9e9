"""What is measured beside an encoder, to explain how hard each image is to align."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightly_memloc.data import MultiViewDataset
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.functional import pixel_statistics
from lightly_memloc.functional.pixel_statistics import PIXEL_STATISTICS
from lightly_memloc.runtime import estimate_running_statistics, untrained_copy

Covariates = Literal["auto"] | Sequence[nn.Module] | None

UNTRAINED = ("untrained_1", "untrained_2")

# Random projections of an untrained encoder's units, and their principal components.
N_UNITS, _COMPONENTS = 64, 16

# Side of the small pictures that describe an image.
_SIDE = 4

# Held-out images whose views set the statistics of an untrained encoder's BatchNorm, in
# batches of a fixed size: that of the measurement changes no number.
_IMAGES, _BATCH = 64, 8


def covariate_encoders(
    model: nn.Module, reference: nn.Module | None, covariates: Covariates, seed: int
) -> dict[str, nn.Module]:
    """Return the encoders whose alignment distances are covariates, by name.

    Args:
        model: The encoder to measure.
        reference: The reference encoder, if any.
        covariates: ``"auto"`` makes two untrained copies of the encoder, or none if
            there is a reference encoder; a list provides the encoders; None, none.
        seed: Random seed of the untrained copies.

    Raises:
        MemorizationError: If ``covariates`` is something else, or contains the encoder
            itself.
    """
    if covariates is None:
        return {}
    if isinstance(covariates, str):
        if covariates != "auto":
            raise MemorizationError(
                "Expected covariates to be 'auto', None or a list of encoders, got "
                f"{covariates!r}."
            )
        if reference is not None:
            return {}
        return {
            name: untrained_copy(model, seed, i) for i, name in enumerate(UNTRAINED)
        }
    for encoder in covariates:
        if not isinstance(encoder, nn.Module):
            raise MemorizationError(
                f"Expected covariates to be encoders, got {type(encoder).__name__}."
            )
        if encoder is model:
            raise MemorizationError(
                "The encoder itself is among its covariates. Covariates must not know "
                "which images it was trained on."
            )
    return {f"covariate_{i}": encoder for i, encoder in enumerate(covariates, start=1)}


def prepare_untrained(
    encoders: nn.ModuleDict,
    views: MultiViewDataset,
    holdout: Sequence[int],
    like: Tensor,
) -> None:
    """Set the BatchNorm statistics of untrained encoders to those of held-out images.

    Args:
        encoders: All encoders by name; others than untrained ones are left as they are.
        views: The views of the images.
        holdout: Indices of the held-out images, of which 64 are drawn.
        like: Views, whose device and type are used.
    """
    untrained: list[Any] = [encoders[name] for name in UNTRAINED if name in encoders]
    if untrained:
        drawn = np.random.default_rng(views.seed).permutation(holdout)[:_IMAGES]
        batches = list(_batches(views, drawn.tolist()))
        for encoder in untrained:
            estimate_running_statistics(encoder, (of.to(like) for of in batches))


def unit_features(views: Tensor) -> Tensor:
    """Project what the units of an untrained encoder's last layer make of each image.

    Args:
        views: Output of the layer for V views of B images, shape ``(B, V, C, ...)``.

    Returns:
        Random projections of the mean output over views and positions, shape
        ``(B, 64)``.
    """
    units = views.float().mean(dim=1).flatten(2 if views.ndim > 3 else 1)
    if units.ndim > 2:
        units = units.mean(dim=2)
    seeded = torch.Generator().manual_seed(0)
    projection = torch.randn(units.shape[1], N_UNITS, generator=seeded)
    features: Tensor = units @ projection.to(units) / units.shape[1] ** 0.5
    return features


def n_pixel_features(views: Tensor) -> int:
    """Return how many features :func:`pixel_features` computes.

    Args:
        views: Views of shape ``(..., C, H, W)``.
    """
    return len(PIXEL_STATISTICS) + views.shape[-3] * _SIDE**2


def pixel_features(views: Tensor) -> Tensor:
    """Describe what each image looks like without any encoder.

    Args:
        views: Views of shape ``(B, V, C, H, W)``.

    Returns:
        Pixel statistics, and the mean view in 4x4 pixels; shape ``(B, 5 + 16 C)``.
    """
    statistics = pixel_statistics(views)
    mean = views.float().mean(dim=1)
    small = nn.functional.adaptive_avg_pool2d(mean, _SIDE).flatten(1)
    return torch.cat([statistics, small.to(statistics)], dim=1)


def principal_components(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first sixteen principal components of standardized features.

    Args:
        features: Shape ``(N, 64)``.

    Returns:
        Components with a standard deviation of 1, shape ``(N, 16)`` or fewer columns.
    """
    centred = features - features.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = centred / np.where(spread > 0, spread, 1)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    kept = singular[:_COMPONENTS] > 1e-6 * max(singular[0], 1)
    components: NDArray[np.float64] = left[:, :_COMPONENTS][:, kept]
    components *= np.sqrt(len(features))
    return components


def _batches(views: MultiViewDataset, indices: Sequence[int]) -> Iterator[Tensor]:
    for start in range(0, len(indices), _BATCH):
        read = []
        for index in indices[start : start + _BATCH]:
            try:
                read.append(views[index][0])
            except UnreadableImageError:
                continue
        if read:
            yield torch.cat(read)
