"""Alignment distance: how far apart an encoder puts the views of one image."""

from typing import Literal

import torch
from torch import Tensor

# Elements converted to double precision at a time: small enough to stay in a
# core's cache, large enough to keep the batched product busy.
_BLOCK = 1 << 18


def alignment_distance(
    views: Tensor,
    normalize: bool = True,
    pairs: Literal["all", "anchor"] = "all",
) -> Tensor:
    r"""Compute the alignment distance of each image over its views [0].

    .. math::
        a(x) = \frac{1}{|P|} \sum_{(v, w) \in P} \lVert z_v - z_w \rVert_2

    where :math:`z_v` is the representation of view :math:`v`, flattened and divided
    by its L2 norm (a representation of norm 0 stays 0), and :math:`P` is the set of
    all pairs of views, or, for ``pairs="anchor"``, the pairs of the first view with
    each other one. The latter is what the official scripts [1] compute, where the
    first view is the image without augmentation.

    Distances are computed in double precision relative to the first view, so that
    nearly identical views keep their precision (single precision on devices that
    lack double).

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: https://github.com/sprintml/LocalizingMemorizationInSSL

    Args:
        views: Representations of shape ``(B, V, ...)`` with ``V >= 2`` views of each
            of ``B`` images.
        normalize: Whether representations are divided by their L2 norm.
        pairs: ``"all"`` pairs of views, or ``"anchor"`` pairs of the first view with
            each other view.

    Returns:
        Tensor of shape ``(B,)``; in [0, 2] if normalized, else at least 0. Double
        precision where the device has it.

    Raises:
        ValueError: If there are fewer than two views, or ``pairs`` is unknown.

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
    gram = _gram_relative_to_first(views.reshape(n_images, n_views, -1))
    squared = _squared_distances(_normalized(gram) if normalize else _offsets(gram))
    first, second = torch.triu_indices(n_views, n_views, offset=1, device=views.device)
    if pairs == "anchor":
        first, second = first[: n_views - 1], second[: n_views - 1]
    return squared[:, first, second].sqrt().mean(dim=1)


def _gram_relative_to_first(views: Tensor) -> Tensor:
    """Inner products of (z_0, z_1 - z_0, ..., z_V-1 - z_0), shape (B, V, V)."""
    dtype = torch.float32 if views.device.type == "mps" else torch.float64
    n_views, n_features = views.shape[1:]
    images_per_block = max(1, _BLOCK // (n_views * max(1, n_features)))
    features_per_block = max(1, _BLOCK // (n_views * images_per_block))
    grams = []
    for images in torch.split(views, images_per_block):
        gram = torch.zeros(
            len(images), n_views, n_views, dtype=dtype, device=views.device
        )
        for block in torch.split(images, features_per_block, dim=2):
            relative = block.to(dtype, copy=True)
            relative[:, 1:] -= relative[:, :1].clone()
            gram.baddbmm_(relative, relative.transpose(1, 2))
        grams.append(gram)
    return torch.cat(grams) if grams else views.new_zeros(0, n_views, n_views)


def _offsets(gram: Tensor) -> Tensor:
    """Inner products of the views' offsets from the first view."""
    offsets = gram.clone()
    offsets[:, 0, :] = 0
    offsets[:, :, 0] = 0
    return offsets


def _normalized(gram: Tensor) -> Tensor:
    """Inner products of the normalized views' offsets from the first one.

    With d_v = z_v - z_0, s_v = 1 / |z_v| and c_v = s_v - s_0 the offset is
    s_v d_v + c_v z_0. c_v comes from |z_0|^2 - |z_v|^2 = -(2 <z_0, d_v> + |d_v|^2),
    which does not cancel when z_v is close to z_0.
    """
    reference = gram[:, :1, :1]
    cross = _offset_row(gram)
    growth = 2 * cross + gram.diagonal(dim1=1, dim2=2).unsqueeze(1) * _not_first(gram)
    norm_0 = reference.sqrt()
    norm = (reference + growth).clamp_min(0).sqrt()
    scale_0, scale = _reciprocal(norm_0), _reciprocal(norm)
    change = torch.where(
        scale * scale_0 > 0,
        -growth * _reciprocal(norm + norm_0) * scale * scale_0,
        scale - scale_0,
    )
    mixed = scale.transpose(1, 2) * cross.transpose(1, 2) * change
    return (
        _offsets(gram) * scale * scale.transpose(1, 2)
        + mixed
        + mixed.transpose(1, 2)
        + change * change.transpose(1, 2) * reference
    )


def _offset_row(gram: Tensor) -> Tensor:
    return gram[:, :1, :] * _not_first(gram)


def _not_first(gram: Tensor) -> Tensor:
    return (torch.arange(gram.shape[1], device=gram.device) > 0).to(gram.dtype)


def _reciprocal(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values, 0)


def _squared_distances(gram: Tensor) -> Tensor:
    squared_norms = gram.diagonal(dim1=1, dim2=2)
    return (
        squared_norms.unsqueeze(2) + squared_norms.unsqueeze(1) - 2 * gram
    ).clamp_min(0)
