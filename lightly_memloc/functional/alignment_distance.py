"""Alignment distance: how far apart an encoder puts the views of one image."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lightly_memloc.functional.blocks import block_size

# Elements converted to double precision at a time: small enough to stay in a
# core's cache, large enough to keep the batched product busy.
_BLOCK = 1 << 18


def alignment_distance(
    views: Tensor,
    normalize: bool = True,
    pairs: Literal["all", "anchor"] = "all",
    halves: bool = False,
) -> Tensor:
    r"""Compute the alignment distance of each image over its views [0].

    .. math::
        a(x) = \frac{1}{|P|} \sum_{(v, w) \in P} \lVert z_v - z_w \rVert_2

    where :math:`z_v` is the representation of view :math:`v`, flattened and divided
    by its L2 norm (a representation of norm 0 stays 0), and :math:`P` is the set of
    all pairs of views, or, for ``pairs="anchor"``, the pairs of the first view with
    each other one. The latter is what the official scripts [1] compute, where the
    first view is the image without augmentation.

    Distances come from inner products of the normalized views' offsets from the first
    one, in double precision, so that nearly identical views keep theirs (in single
    precision on devices that lack double).

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: https://github.com/sprintml/LocalizingMemorizationInSSL

    Args:
        views: Representations of shape ``(B, V, ...)`` with ``V >= 2`` views of each
            of ``B`` images.
        normalize: Whether representations are divided by their L2 norm.
        pairs: ``"all"`` pairs of views, or ``"anchor"`` pairs of the first view with
            each other view.
        halves: Whether to compute the distance over the first and over the second half
            of the views as well. Of an odd number, the last view is in neither; the
            anchor is in both.

    Returns:
        Tensor of shape ``(B,)``; in [0, 2] if normalized, else at least 0. Double
        precision where the device has it. With ``halves``, of shape ``(B, 3)``: over
        all views, over the first half and over the second half.

    Raises:
        ValueError: If there are fewer than two views (or too few to compare within
            each half), or ``pairs`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import alignment_distance
        >>> views = torch.tensor([[[3.0, 0.0], [0.0, 0.5]]])
        >>> alignment_distance(views)
        tensor([1.4142], dtype=torch.float64)
    """
    if views.ndim < 2 or views.shape[1] < 2:
        raise ValueError(
            f"Expected views of shape (B, V, ...) with V >= 2, got {tuple(views.shape)}."
        )
    if pairs not in ("all", "anchor"):
        raise ValueError(f"Expected pairs to be 'all' or 'anchor', got {pairs!r}.")
    n_images, n_views = views.shape[:2]
    n_anchors = int(pairs == "anchor")
    if halves and n_views < divisible_views(pairs):
        raise ValueError(
            f"Expected at least {divisible_views(pairs)} views to divide, got {n_views}."
        )
    flat = views.reshape(n_images, n_views, math.prod(views.shape[2:]))
    squared = _squared_distances(_offsets(flat, normalize))
    first, second = torch.triu_indices(n_views, n_views, offset=1, device=views.device)
    compared = first == 0 if n_anchors else torch.ones_like(first, dtype=torch.bool)
    distances = squared[:, first, second].sqrt()
    whole = distances[:, compared].mean(dim=1)
    if not halves:
        return whole
    size = (n_views - n_anchors) // 2
    half = (torch.arange(n_views, device=views.device) - n_anchors) // size
    half[:n_anchors] = -1
    within = [
        compared & (half[second] == of) & ((half[first] == of) | (half[first] == -1))
        for of in range(2)
    ]
    means = [distances[:, pair].mean(dim=1) for pair in within]
    return torch.stack([whole, *means], dim=1)


def divisible_views(pairs: Literal["all", "anchor"]) -> int:
    """Return how many views are needed to compare some within either half of them.

    Args:
        pairs: As for :func:`alignment_distance`; the anchor counts as a view.
    """
    return 3 if pairs == "anchor" else 4


def _offsets(views: Tensor, normalize: bool) -> Tensor:
    """Inner products of (normalized) views' offsets from the first one, (B, V, V)."""
    dtype = torch.float32 if views.device.type == "mps" else torch.float64
    n_views, n_features = views.shape[1:]
    size = block_size(views, _BLOCK)
    images_per_block = max(1, size // (n_views * max(1, n_features)))
    features_per_block = max(1, size // (n_views * images_per_block))
    grams = []
    for images in torch.split(views, images_per_block):
        gram = torch.zeros(
            len(images), n_views, n_views, dtype=dtype, device=views.device
        )
        blocks = torch.split(images, features_per_block, dim=2)
        if len(blocks) == 1:
            blocks = (images.to(dtype),)
        scale = _norm(blocks, dtype) if normalize else torch.ones(())
        scale = torch.where(scale > 0, scale, 1)
        for block in blocks:
            offset = block.to(dtype) / scale
            offset -= offset[:, :1].clone()
            gram.baddbmm_(offset, offset.transpose(1, 2))
        grams.append(gram)
    return torch.cat(grams)


def _norm(blocks: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """L2 norms over the features of all blocks, shape (B, V, 1)."""
    squares = []
    for block in blocks:
        precise = block.to(dtype)
        squares.append(torch.einsum("bvd,bvd->bv", precise, precise))
    return torch.stack(squares).sum(dim=0).sqrt().unsqueeze(2)


def _squared_distances(gram: Tensor) -> Tensor:
    squared_norms = gram.diagonal(dim1=1, dim2=2)
    return (
        squared_norms.unsqueeze(2) + squared_norms.unsqueeze(1) - 2 * gram
    ).clamp_min(0)
