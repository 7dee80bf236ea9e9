"""Measuring whether UnitMem rises when units are tuned to images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Unpack

from lightly_memloc.data import Study, filename_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import summarize_tuning
from lightly_memloc.evaluators import UnitMemEvaluator
from lightly_memloc.functional import unit_activation
from lightly_memloc.interventions.tune_unit import tune_unit
from lightly_memloc.interventions.unit_weights import has_unit_rows
from lightly_memloc.layers import CapturedLayer, captured, run_encoder, trace_layers
from lightly_memloc.results import UnitTuningResult
from lightly_memloc.runtime import (
    PassArguments,
    PassOptions,
    leave_no_trace,
    refuse_outside,
    resolve_device,
)

# Number of images among which one that activates the unit is drawn.
_N_DRAWN = 64


def measure_unit_tuning(
    model: nn.Module,
    study: Study,
    *,
    layers: str | Sequence[str] = "auto",
    n_units: int = 3,
    steps: int = 400,
    learning_rate: float = 0.02,
    **options: Unpack[PassArguments],
) -> UnitTuningResult:
    """Tune single units to single images and measure whether UnitMem rises [0].

    This checks the metric. In each layer, some units are drawn at random, and for each
    unit an image that activates it, but not the one that activates it most. Only this
    unit is tuned to the image, in a copy of the model. UnitMem is measured before and
    after, on views that were not used for tuning.

    The mean rise of a layer has Student's interval over the tuned units. Units of a
    layer depend on each other, but these are drawn at random: the interval contains the
    mean over all such units of this layer, of this encoder, tuned to these images. It
    does not extend to other encoders or images, and assumes rises of roughly normal
    distribution if there are few units.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder; it is not changed.
        study: A study whose members UnitMem is measured on and units are tuned to. Its
            seed determines the units and images.
        layers: Names, globs or kinds of convolutions and linear layers.
        n_units: Number of units to tune per layer.
        steps: Number of training steps, as in ``tune_unit``.
        learning_rate: Learning rate, as in ``tune_unit``.
        options: How the pass over the images runs, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result. ``to_pandas()`` has one row per unit, ``layers_to_pandas()`` one row
        per layer.

    Raises:
        MemorizationError: If a layer is not found, no layer is a convolution or linear
            layer, or there are too few images.
    """
    refuse_outside("n_units", n_units, at_least=1, whole=True)
    refuse_outside("steps", steps, at_least=1, whole=True)
    refuse_outside("learning_rate", learning_rate, above=0)
    passes, images = PassOptions(**options), study.members
    members = study.without_holdout()

    def unit_mem(encoder: nn.Module, of: str | Sequence[str]) -> pd.DataFrame:
        evaluator = UnitMemEvaluator(encoder, members, layers=of, **options)
        return evaluator.run().to_pandas()

    rng = np.random.default_rng(study.seed)
    before = unit_mem(model, layers)
    modules = dict(model.named_modules())
    tunable = [
        layer
        for layer in before["layer"].unique()
        if layer in modules and has_unit_rows(modules[layer])
    ]
    if not tunable:
        raise MemorizationError(
            "None of the layers has its own weights: choose convolutions or linear "
            "layers."
        )
    drawn = np.sort(rng.choice(images, min(_N_DRAWN, len(images)), replace=False))
    answers = _answers(model, tunable, replace(study, n_views=2), drawn, passes)
    rows = []
    for layer in tunable:
        units = before[before["layer"] == layer].set_index("unit")
        for unit, image in _drawn(units["index"], answers[layer], n_units, rng):
            tuned = tune_unit(
                model,
                layer,
                unit,
                study.dataset,
                study.transform,
                image,
                images,
                steps=steps,
                learning_rate=learning_rate,
                num_workers=passes.num_workers,
                seed=study.seed,
                device=passes.device,
            )
            of = unit_mem(tuned, [layer])
            # The name may also match a kind or a later call of the module.
            after: Any = of[of["layer"] == layer].set_index("unit").loc[unit]
            rows.append(
                {
                    "layer": layer,
                    "unit": unit,
                    "index": image,
                    "filename": filename_of(study.dataset, image),
                    "before": float(units["unit_mem"][unit]),
                    "after": float(after["unit_mem"]),
                    "wins": bool(after["index"] == image and not after["dead"]),
                }
            )
    if not rows:
        raise MemorizationError("No unit is activated by more than one image.")
    settings = {
        "images": len(images),
        "steps": steps,
        "learning_rate": learning_rate,
        "n_views": study.n_views,
        "seed": study.seed,
    }
    return summarize_tuning(pd.DataFrame(rows), settings)


def _drawn(
    winners: "pd.Series[int]",
    answers: pd.DataFrame,
    n_units: int,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Random units, each with an image that activates it, but not the most."""
    pairs: list[tuple[int, int]] = []
    for unit in rng.permutation(winners.index):
        images = answers.index[answers[unit] > 0].drop(winners[unit], errors="ignore")
        if len(images) and len(pairs) < n_units:
            pairs.append((int(unit), int(rng.choice(images))))
    return pairs


def _answers(
    model: nn.Module,
    layers: Sequence[str],
    study: Study,
    indices: NDArray[np.int64],
    options: PassOptions,
) -> dict[str, pd.DataFrame]:
    """Activations by layer: one row per image, one column per unit."""
    on, of_image = resolve_device(options.device, model), study.views()
    views = torch.stack([of_image[int(index)][0] for index in indices])
    answers = {}

    def receive(layer: CapturedLayer, output: Tensor) -> None:
        mu = unit_activation(output, layer.channel_dim)
        by_image = mu.view(len(indices), study.n_views, -1).mean(dim=1)
        answers[layer.name] = pd.DataFrame(by_image.cpu().numpy(), index=indices)

    with leave_no_trace([model], on), torch.inference_mode():
        batch = views.flatten(0, 1).to(on)
        traced = trace_layers(model, layers, "units", batch[:2])
        with captured(model, traced, receive):
            run_encoder(model, batch, traced[0].entry)
    return answers
