"""What is measured beside an encoder, to explain how hard each image is to align."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lightly_memloc.data import MultiViewDataset
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.runtime import estimate_running_statistics, untrained_copy

Covariates = Literal["auto"] | Sequence[nn.Module] | None

UNTRAINED = ("untrained_1", "untrained_2")

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
