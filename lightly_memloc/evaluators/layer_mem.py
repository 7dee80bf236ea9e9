"""Measuring LayerMem: how much better f aligns its candidates than g does, by layer."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from lightly_memloc.data import MemorizationSplit, MultiViewDataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.device import resolve_device, state_device
from lightly_memloc.evaluators.same_architecture import refuse_different_architectures
from lightly_memloc.evaluators.trace_free import leave_no_trace
from lightly_memloc.evaluators.view_loader import ViewLoader
from lightly_memloc.layers import CapturedLayer, captured, trace_layers
from lightly_memloc.metrics import AlignmentDistance
from lightly_memloc.results import LayerMemResult


def measure_layer_mem(
    f: nn.Module,
    g: nn.Module | None,
    dataset: Any,
    split: MemorizationSplit,
    transform: Callable[[Any], Any],
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str | torch.device = "auto",
    *,
    pairs: Literal["all", "anchor"] = "all",
    anchor_transform: Callable[[Any], Any] | None = None,
    normalize: bool = True,
    normalization: Literal["relative", "raw", "range"] = "relative",
    top_k: int = 50,
    n_resamples: int = 2000,
    skip_unreadable: bool = False,
) -> LayerMemResult:
    """Measure SSLMem of each image and LayerMem of each layer [0, 1].

    All candidates, independent and external images pass once through f and g, which
    see the same views; every layer's output is reduced the moment it appears. The
    encoders, their modes and all random states end as they began. In a distributed run
    each rank measures its share of the images and all return the whole result.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233
    - [1]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        f: Encoder trained on shared and candidate images.
        g: Encoder of the same architecture trained on shared and independent images.
            None measures the alignment gap alone, from candidates and externals: your
            training images and a holdout from the same distribution.
        dataset: Map-style data set of images without a transform of its own.
        split: The roles of its images.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch; the encoders see ``batch_size * n_views`` views.
        num_workers: Worker processes that load images.
        seed: Seed of the views, the resamples and the permutations.
        device: ``"auto"`` or a torch device.
        pairs: ``"all"`` pairs of views; or ``"anchor"``, the pairs of the image without
            augmentation with each view, as the official scripts have it.
        anchor_transform: The transform without augmentation, for ``pairs="anchor"``.
        normalize: Whether representations are divided by their L2 norm.
        normalization: Normalization of SSLMem.
        top_k: Number of most and least memorised candidates to average over; at most
            half of the candidates.
        n_resamples: Bootstrap resamples and permutations.
        skip_unreadable: Whether unreadable images are left out instead of refused.

    Returns:
        The result; ``to_pandas()`` has a row a layer, ``samples_to_pandas()`` one an
        image.

    Raises:
        MemorizationError: If the encoders differ in architecture, the split does not
            fit, a layer is not found or does not run, or activations are not finite.
        UnreadableImageError: If an image cannot be read.
    """
    indices = _measured_roles(split, dataset, has_reference=g is not None)
    if (pairs == "anchor") != (anchor_transform is not None):
        raise MemorizationError(
            "pairs='anchor' and anchor_transform go together: the transform makes the "
            "image without augmentation that each view is compared with."
        )
    encoders = {"f": f} if g is None else {"f": f, "g": g}
    if g is not None:
        refuse_different_architectures(f, g)
    views = MultiViewDataset(dataset, transform, n_views, seed, anchor_transform)
    loader = ViewLoader(
        views,
        indices["index"].to_numpy(),
        batch_size,
        num_workers,
        skip_unreadable,
        "Measuring LayerMem",
    )
    on = resolve_device(device, f)
    metrics: dict[str, dict[str, AlignmentDistance]] = {}
    traced: list[CapturedLayer] = []
    with leave_no_trace(list(encoders.values()), on):
        for batch in loader:
            images = batch.flat.to(on)
            if not metrics:
                traced = trace_layers(f, layers, "state", images[:2])
                metrics = {
                    name: {
                        layer.name: AlignmentDistance(normalize, pairs).to(
                            state_device(on)
                        )
                        for layer in traced
                    }
                    for name in encoders
                }
            for name, encoder in encoders.items():
                receive = _receiver(metrics[name], batch.views.shape[:2], batch.index)
                with captured(encoder, traced, receive):
                    encoder(images)
    values = {
        name: [metrics[name][layer.name].compute() for layer in traced]
        for name in encoders
    }
    measured = values["f"][0].image.reshape(-1).cpu().numpy()
    distances = {
        name: torch.stack([v.distance.reshape(-1) for v in of_encoder], dim=1)
        .cpu()
        .numpy()
        for name, of_encoder in values.items()
    }
    images_table = indices.set_index("index").loc[measured].reset_index()
    images_table.insert(1, "filename", loader.filenames(measured))
    return LayerMemResult.from_distances(
        [(layer.name, layer.kind) for layer in traced],
        images_table,
        distances["f"],
        distances.get("g"),
        {
            "n_views": n_views,
            "seed": seed,
            "pairs": pairs,
            "normalize": normalize,
            "normalization": normalization,
            "top_k": top_k,
            "reference": g is not None,
            "skipped": loader.all_skipped(),
        },
        n_resamples,
    )


def _measured_roles(
    split: MemorizationSplit, dataset: Any, has_reference: bool
) -> pd.DataFrame:
    """Index and role of the images to measure, by index."""
    if split.n != len(dataset):
        raise MemorizationError(
            f"The split was made for {split.n} images, but the data set has "
            f"{len(dataset)}: its indices would mean other images."
        )
    roles = ["candidate", "external"]
    if has_reference:
        roles.append("independent")
    if len(split.candidate) < 2:
        raise MemorizationError(
            f"LayerMem needs at least two candidates, got {len(split.candidate)}."
        )
    if not has_reference and len(split.external) < 2:
        raise MemorizationError(
            "Without a reference encoder, memorisation shows only against images that "
            f"the encoder never saw: expected external images, got "
            f"{len(split.external)}."
        )
    table = pd.concat(
        pd.DataFrame({"index": getattr(split, role), "role": role}) for role in roles
    )
    return table.sort_values("index", ignore_index=True)


def _receiver(
    metrics: dict[str, AlignmentDistance], shape: torch.Size, index: Tensor
) -> Callable[[CapturedLayer, Tensor], None]:
    def receive(layer: CapturedLayer, output: Tensor) -> None:
        metrics[layer.name].update(output.reshape(*shape, -1), index)

    return receive
