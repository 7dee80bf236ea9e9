"""Measuring UnitMem: which units are tied to single images, and to which."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from lightly_memloc.data import MultiViewDataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.device import resolve_device, state_device
from lightly_memloc.evaluators.unit_activations import UnitActivations
from lightly_memloc.evaluators.unit_tables import layer_table, unit_table
from lightly_memloc.evaluators.view_loader import ViewBatch, ViewLoader
from lightly_memloc.functional import Estimate
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.functional.unit_mem import Rest
from lightly_memloc.metrics import MemberShare, UnitMem
from lightly_memloc.results import UnitMemResult


def measure_unit_mem(
    model: nn.Module,
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: ArrayLike | None = None,
    holdout: ArrayLike | None = None,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str | torch.device = "auto",
    rest: Rest = "mean",
    rectify: Rectify = "auto",
    *,
    skip_unreadable: bool = False,
) -> UnitMemResult:
    """Measure UnitMem of every unit of every layer in one pass [0].

    UnitMem measures selectivity, which units have for images that the encoder never
    saw, too. With a holdout the result also says whether the units prefer members: the
    member share and the gap, over a mix of as many members as non-members.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: The images to measure, which the encoder was trained on; all of them
            by default.
        holdout: Images from the same distribution that the encoder never saw.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch; the encoder sees ``batch_size * n_views`` views.
        num_workers: Worker processes that load images.
        seed: Seed of the views, the resamples and the permutations.
        device: ``"auto"`` or a torch device.
        rest: The average over the other images: their ``"mean"`` or their
            ``"median"``, as in the official script. The latter keeps one number an
            image and unit; the gap takes the mean in either case.
        rectify: ``"auto"`` and ``"relu"`` set negative outputs to 0, ``"abs"`` takes
            absolute values, ``"none"`` leaves them, and UnitMem unbounded.
        skip_unreadable: Whether unreadable images are left out instead of refused.

    Returns:
        The result; ``to_pandas()`` has a row a unit, ``layers_to_pandas()`` one a
        layer.

    Raises:
        MemorizationError: If an image is member and holdout at once, there are fewer
            than two images, a layer is not found or does not run, or activations are
            not finite.
        UnreadableImageError: If an image cannot be read.
    """
    members = _index_set(np.arange(len(dataset)) if indices is None else indices)
    outside = _index_set([] if holdout is None else holdout)
    _refuse_unfit(members, outside, indices_given=indices is not None)
    rng = np.random.default_rng(seed)
    n_mix = min(len(members), len(outside))
    mix = rng.permutation(members)[:n_mix], rng.permutation(outside)[:n_mix]
    loader = ViewLoader(
        MultiViewDataset(dataset, transform, n_views, seed),
        np.sort(np.concatenate([members, mix[1]])),
        batch_size,
        num_workers,
        skip_unreadable,
        "Measuring UnitMem",
    )
    on = resolve_device(device, model)
    activations = UnitActivations(model, loader, layers, rectify, on)
    is_member = torch.from_numpy(members)
    unit_mem: UnitMem | None = None
    member_share: MemberShare | None = None

    def receive(mu: Tensor, batch: ViewBatch) -> None:
        nonlocal unit_mem, member_share
        if unit_mem is None:
            sizes = [layer.num_units for layer in activations.layers]
            unit_mem = UnitMem(sum(sizes), rest).to(state_device(on))
            if n_mix:
                member_share = MemberShare(sizes, *mix, seed=seed)
                member_share.to(state_device(on))
        chosen = torch.isin(batch.index, is_member)
        unit_mem.update(mu[chosen.to(on)], batch.index[chosen])
        if member_share is not None:
            member_share.update(mu, batch.index)

    activations.stream(receive)
    assert unit_mem is not None
    values = unit_mem.compute()
    units = unit_table(
        activations.layers,
        unit_mem=values.unit_mem,
        mu_max=values.mu_max,
        mu_rest=values.mu_rest,
        index=values.winner,
        dead=values.dead,
    )
    units.insert(6, "filename", loader.filenames(units["index"]))
    columns: dict[str, Any] = {}
    for name, estimate in _against_holdout(member_share, len(activations.layers)):
        columns |= {
            name + suffix: field
            for suffix, field in zip(("", "_low", "_high", "_p"), estimate, strict=True)
        }
    by_layer = layer_table(
        activations.layers,
        units,
        "unit_mem",
        **columns,
        rectified=activations.rectified(),
    )
    settings = {
        "n_views": n_views,
        "seed": seed,
        "rest": rest,
        "rectify": rectify,
        "images": len(members),
        "mix": {"members": n_mix, "holdout": n_mix},
        "skipped": loader.all_skipped(),
    }
    return UnitMemResult(
        settings,
        {"layers": by_layer, "units": units},
    )


def _index_set(indices: ArrayLike) -> NDArray[np.int64]:
    return np.unique(np.asarray(indices, dtype=np.int64))


def _refuse_unfit(
    members: NDArray[np.int64], outside: NDArray[np.int64], indices_given: bool
) -> None:
    if len(members) < 2:
        raise MemorizationError(
            f"UnitMem needs at least two images, got {len(members)}."
        )
    overlap = np.intersect1d(members, outside)
    if len(overlap):
        advice = "" if indices_given else " Pass indices= without the holdout."
        raise MemorizationError(
            f"Image {overlap[0]} and {len(overlap) - 1} more are in indices and in "
            "holdout at once; the holdout must be images that the encoder never saw."
            + advice
        )


def _against_holdout(
    metric: MemberShare | None, n_layers: int
) -> list[tuple[str, Estimate]]:
    if metric is None:
        unknown = Estimate(*(np.full(n_layers, np.nan) for _ in Estimate._fields))
        return [("member_share", unknown), ("gap", unknown)]
    values = metric.compute()
    return [("member_share", values.member_share), ("gap", values.gap)]
