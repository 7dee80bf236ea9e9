"""Measuring whether UnitMem follows when units are tuned to images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from lightly_memloc.data import MultiViewDataset, filename_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import summarize_tuning
from lightly_memloc.evaluators import measure_unit_mem
from lightly_memloc.functional import unit_activation
from lightly_memloc.interventions.tune_unit import tune_unit
from lightly_memloc.interventions.unit_weights import has_unit_rows
from lightly_memloc.layers import CapturedLayer, captured, trace_layers
from lightly_memloc.results import UnitTuningResult
from lightly_memloc.runtime import leave_no_trace, resolve_device

# Of so many images, one is drawn that the unit answers to.
_N_DRAWN = 64


def measure_unit_tuning(
    model: nn.Module,
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: ArrayLike | None = None,
    layers: str | Sequence[str] = "auto",
    n_units: int = 3,
    steps: int = 400,
    learning_rate: float = 0.02,
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str = "auto",
) -> UnitTuningResult:
    """Tune single units to single images, and see whether UnitMem follows [0].

    A check of the metric: in each layer some units are drawn at random, and for each an
    image that it answers to, but not most. The unit alone is tuned to it, in a copy of
    the model, and UnitMem measured before and after, on other views than those that it
    was tuned with.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder; stays as it is.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation.
        indices: The images to measure UnitMem on, and to tune to; all by default.
        layers: Layers with weights of their own: convolutions and linear layers.
        n_units: How many units of each layer are tuned.
        steps: Steps of training, as in ``tune_unit``.
        learning_rate: Learning rate, as in ``tune_unit``.
        n_views: Views per image for UnitMem.
        batch_size: Images per batch for UnitMem.
        num_workers: Worker processes that load images.
        seed: Seed of units, images and views.
        device: ``"auto"`` or a torch device.

    Returns:
        The result; ``to_pandas()`` has a row a unit, ``layers_to_pandas()`` one a layer.

    Raises:
        MemorizationError: If a layer is not found or no layer has weights of its own,
            or there are too few images.
    """
    images = np.unique(np.arange(len(dataset)) if indices is None else indices)

    def unit_mem(encoder: nn.Module, of: str | Sequence[str]) -> pd.DataFrame:
        return measure_unit_mem(
            encoder,
            dataset,
            transform,
            images,
            layers=of,
            n_views=n_views,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            device=device,
        ).to_pandas()

    rng = np.random.default_rng(seed)
    before = unit_mem(model, layers)
    modules = dict(model.named_modules())
    tunable = [
        layer
        for layer in before["layer"].unique()
        if layer in modules and has_unit_rows(modules[layer])
    ]
    if not tunable:
        raise MemorizationError(
            "None of the layers has weights of its own: choose convolutions or linear "
            "layers."
        )
    drawn = np.sort(rng.choice(images, min(_N_DRAWN, len(images)), replace=False))
    answers = _answers(model, tunable, dataset, transform, drawn, seed, device)
    rows = []
    for layer in tunable:
        units = before[before["layer"] == layer].set_index("unit")
        for unit, image in _drawn(units["index"], answers[layer], n_units, rng):
            tuned = tune_unit(
                model,
                layer,
                unit,
                dataset,
                transform,
                image,
                images,
                steps,
                learning_rate,
                num_workers=num_workers,
                seed=seed,
                device=device,
            )
            of = unit_mem(tuned, [layer])
            # A layer's name may be a kind, too, or its module run again later.
            after: Any = of[of["layer"] == layer].set_index("unit").loc[unit]
            rows.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "index": image,
                    "filename": filename_of(dataset, image),
                    "before": float(units["unit_mem"][unit]),
                    "after": float(after["unit_mem"]),
                    "wins": bool(after["index"] == image and not after["dead"]),
                }
            )
    if not rows:
        raise MemorizationError("No unit answers to more than one image.")
    settings = {
        "images": len(images),
        "steps": steps,
        "learning_rate": learning_rate,
        "n_views": n_views,
        "seed": seed,
    }
    return summarize_tuning(pd.DataFrame(rows), settings)


def _drawn(
    winners: "pd.Series[int]",
    answers: pd.DataFrame,
    n_units: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Units at random, each with an image that it answers to, but not most."""
    pairs: list[tuple[int, int]] = []
    for unit in rng.permutation(winners.index):
        images = answers.index[answers[unit] > 0].drop(winners[unit], errors="ignore")
        if len(images) and len(pairs) < n_units:
            pairs.append((int(unit), int(rng.choice(images))))
    return pairs


def _answers(
    model: nn.Module,
    layers: Sequence[str],
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: NDArray[np.int64],
    seed: int,
    device: str,
) -> dict[str, pd.DataFrame]:
    """Activations by layer: a row an image, a column a unit."""
    on = resolve_device(device, model)
    dataset_views = MultiViewDataset(dataset, transform, 2, seed)
    views = torch.stack([dataset_views[int(index)][0] for index in indices])
    answers = {}

    def receive(layer: CapturedLayer, output: Tensor) -> None:
        mu = unit_activation(output, layer.channel_dim).view(len(indices), 2, -1)
        answers[layer.name] = pd.DataFrame(mu.mean(dim=1).cpu().numpy(), index=indices)

    with leave_no_trace([model], on), torch.inference_mode():
        batch = views.flatten(0, 1).to(on)
        with captured(model, trace_layers(model, layers, "units", batch[:2]), receive):
            model(batch)
    return answers
