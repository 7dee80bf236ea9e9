"""Tuning a single unit to a single image."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Dataset

from lightly_memloc.data import MultiViewDataset, image_indices
from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import unit_activation
from lightly_memloc.interventions.unit_weights import (
    has_unit_rows,
    holder_of,
    norms_of,
    refuse_rearranged,
    refuse_unknown_units,
    weights_are_own,
)
from lightly_memloc.layers import (
    CapturedLayer,
    captured,
    run_encoder,
    trace_layers,
)
from lightly_memloc.layers.trace import Entry
from lightly_memloc.runtime import (
    copy_encoder,
    leave_no_trace,
    refuse_outside,
    resolve_device,
    tracked,
)

_POWER = 3
_FLOOR = 0.1
_N_OTHERS = 32
_VIEWS_OF_OTHERS = 2


@torch.inference_mode(False)
@torch.enable_grad()
def tune_unit(
    model: nn.Module,
    layer: str,
    unit: int,
    dataset: Any,
    transform: Callable[[Any], Any],
    image: int,
    indices: ArrayLike | None = None,
    *,
    steps: int = 400,
    learning_rate: float = 0.02,
    n_views: int = 8,
    num_workers: int = 0,
    seed: int = 0,
    device: str | torch.device = "auto",
) -> nn.Module:
    r"""Tune a single unit of a model to a single image, as a check of UnitMem [0].

    The activation of the unit learns to separate the image from others, as a whole
    encoder does in instance discrimination [1]. The loss of a step is

    .. math::
        -\log \frac{(1 + \mu(x) / c)^3}{\sum_i (1 + \mu(x_i) / c)^3}

    over new views of the image x and of other images, drawn at random; c is a tenth of
    their mean activation at the start. Maximising the activation alone would not
    suffice, since the content of one image activates the unit on others as well. Adam
    trains only the unit's own weights: its row in the weights of the layer and of the
    norm that follows. All other parameters and buffers stay bit-identical.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069
    - [1]: InstDisc, 2018, https://arxiv.org/abs/1805.01978

    Args:
        model: The model; it is not changed.
        layer: Name of the unit's layer, a convolution or linear layer, as in the result
            of ``measure_unit_mem``.
        unit: The unit's number.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation.
        image: Index of the image.
        indices: Indices of the other images; by default all images of the data set.
        steps: Number of training steps.
        learning_rate: Learning rate, relative to the mean absolute weight of a module.
        n_views: Views of the image per step.
        num_workers: Worker processes that load images.
        seed: Random seed of the views and of the other images.
        device: ``"auto"`` or a torch device.

    Returns:
        The tuned copy of the model, in evaluation mode, on the device of the model.

    Raises:
        MemorizationError: If the layer, unit or image does not exist, the layer does
            not have its own weights, or no view of the image activates the unit, so
            that it has no gradient.
    """
    refuse_outside("steps", steps, at_least=1, whole=True)
    refuse_outside("learning_rate", learning_rate, above=0)
    refuse_outside("n_views", n_views, at_least=1, whole=True)
    tuned = copy_encoder(model)
    on = resolve_device(device, model)
    with leave_no_trace([tuned], on):
        lessons = _Lessons(dataset, transform, image, indices, n_views, steps, seed)
        views = lessons[0].to(on)[:2]
        traced = _layer(tuned, layer, views)
        held = _held(tuned, traced, unit)
        weights = {name: p.detach() for name, p in tuned.named_parameters()}
        # Adam's squares and epsilon need more than half precision.
        row = {name: _precise(weights[name][unit]).requires_grad_() for name in held}
        optimizer = torch.optim.Adam(
            {"params": [row[name]], "lr": learning_rate * scale}
            for name, scale in held.items()
        )
        floor = None
        loader = DataLoader(lessons, batch_size=None, num_workers=num_workers)
        for views in tracked(loader, steps, f"Tuning unit {unit} of {layer}"):
            mu = _activations(tuned, traced, unit, weights, row, views.to(on), n_views)
            # Views that do not activate the unit give no gradient.
            if mu[0] > 0:
                floor = floor or _FLOOR * float(mu.detach().mean())
                optimizer.zero_grad()
                logits = _POWER * torch.log1p(mu / floor)
                loss: Any = logits.logsumexp(dim=0) - logits[0]
                loss.backward()
                optimizer.step()
        if floor is None:
            raise MemorizationError(
                f"Unit {unit} of {layer} is silent for image {image}: none of its views "
                "activates the unit, so it has no gradient. Choose another image or unit."
            )
        for name in held:
            weights[name][unit] = row[name].detach()
    return tuned.eval()


def _layer(model: nn.Module, name: str, images: Tensor) -> CapturedLayer:
    with torch.no_grad():
        traced = trace_layers(model, name, "units", images)
    named = [layer for layer in traced if layer.name == name]
    if not named:
        raise MemorizationError(
            f"Expected the name of a single layer, got {name!r}, which matches "
            f"{traced[0].name}."
        )
    return named[0]


def _held(model: nn.Module, layer: CapturedLayer, unit: int) -> dict[str, float]:
    """Parameters with a row for the unit, each with its module's mean weight."""
    refuse_unknown_units(layer, [unit])
    holder = holder_of(model, layer)
    if not has_unit_rows(holder):
        raise MemorizationError(
            f"The units of {layer.name} do not have their own weights: choose units of a "
            "convolution or a linear layer."
        )
    modules = [holder, *norms_of(model, layer)]
    refuse_rearranged(layer, modules)
    if any(map(prune.is_pruned, modules)):
        raise MemorizationError(
            f"{layer.name} has pruned units: undo the pruning or make it permanent first."
        )
    unfit = [
        type(module).__name__
        for module in modules
        if dict(module.named_parameters()) and not weights_are_own(model, module)
    ]
    if unfit:
        raise MemorizationError(
            f"The units of {layer.name} are not the rows of a weight and a bias that "
            f"{' and '.join(unfit)} alone use{'s'[: len(unfit) == 1]}: a parametrization "
            "computes them, or another module shares them. Remove the parametrization "
            "or choose units of another layer."
        )
    scales: dict[int, float] = {}
    for module in modules:
        own = dict(module.named_parameters(recurse=False))
        if not own:
            continue
        if (
            own.keys() - {"weight", "bias"}
            or len(own.get("weight", ())) != layer.num_units
        ):
            raise MemorizationError(
                f"The units of {layer.name} are not the rows of a weight and a bias: "
                f"{type(module).__name__} has {', '.join(own)} for {layer.num_units} "
                "units."
            )
        scale = float(own["weight"].detach().abs().mean())
        scales |= {id(parameter): scale for parameter in own.values()}
    return {n: scales[id(p)] for n, p in model.named_parameters() if id(p) in scales}


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32), copy=True)


def _activations(
    model: nn.Module,
    layer: CapturedLayer,
    unit: int,
    weights: dict[str, Tensor],
    row: dict[str, Tensor],
    views: Tensor,
    n_views: int,
) -> Tensor:
    """The unit's activations on the image and on each other image, in this order."""
    mu: list[Tensor] = []

    def receive(_: CapturedLayer, output: Tensor) -> None:
        mu.append(unit_activation(output, layer.channel_dim)[:, unit])

    place = (torch.tensor([unit], device=views.device),)
    with_row = weights | {
        name: weights[name].index_put(place, values[None].to(weights[name].dtype))
        for name, values in row.items()
    }
    of_model = {f"model.{name}": weight for name, weight in with_row.items()}
    with captured(model, [layer], receive):
        functional_call(_Run(model, layer.entry), of_model, (views,))
    own, others = mu[0][:n_views], mu[0][n_views:]
    return torch.cat([own.mean()[None], others.view(-1, _VIEWS_OF_OTHERS).mean(dim=1)])


class _Run(nn.Module):
    """Runs a model through its entry, for ``functional_call``."""

    def __init__(self, model: nn.Module, entry: Entry) -> None:
        super().__init__()
        self.model = model
        self.entry = entry

    def forward(self, images: Tensor) -> None:
        run_encoder(self.model, images, self.entry)


class _Lessons(Dataset[Tensor]):
    """For each step, views of the image followed by views of other images."""

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Any], Any],
        image: int,
        indices: ArrayLike | None,
        n_views: int,
        steps: int,
        seed: int,
    ) -> None:
        available = (
            np.arange(len(dataset))
            if indices is None
            else image_indices(indices, len(dataset), "indices")
        )
        self.others: NDArray[np.int64] = np.setdiff1d(available, [image])
        if not 0 <= image < len(dataset) or not len(self.others):
            raise MemorizationError(
                f"Expected an image among the {len(dataset)} of the data set and at "
                f"least one other image, got image {image} and {len(self.others)} others."
            )
        self.dataset = dataset
        self.transform = transform
        self.image = image
        self.n_views = n_views
        self.steps = steps
        self.seed = seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        rng = np.random.default_rng((self.seed, step))
        seed = int(rng.integers(2**31))
        n_others = min(_N_OTHERS, len(self.others))
        drawn = rng.choice(self.others, n_others, replace=False)
        own = MultiViewDataset(self.dataset, self.transform, self.n_views, seed)
        of_others = MultiViewDataset(
            self.dataset, self.transform, _VIEWS_OF_OTHERS, seed
        )
        views = [own[self.image][0], *(of_others[int(other)][0] for other in drawn)]
        return torch.cat(views)
