"""Pruning units: setting their outputs to zero."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle
from torchvision.ops import FrozenBatchNorm2d

from lightly_memloc.errors import MemorizationError
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
    device_of,
    example_images,
    first_tensor,
    run_encoder,
    trace_layers,
)
from lightly_memloc.runtime import leave_no_trace

_SCALE = "unit_scale"

# Norms that scale each unit by statistics of its own.
_OF_SINGLE_UNITS = (_NormBase, FrozenBatchNorm2d)


def prune_units(
    model: nn.Module,
    units: Mapping[str, Sequence[int]],
    example: Tensor | None = None,
) -> "PrunedUnits":
    """Prune units of a model in place, so that their outputs are zero [0].

    A unit of a convolution or a linear layer is pruned by masking its incoming weights
    and bias, and the scale and shift of the norm that follows. A unit that is a sum of
    several modules, such as a channel of a residual block's output, is masked at the
    output. So are the units of weights that are not a module's own parameters: computed
    by a parametrization or by weight normalisation, frozen in buffers, or shared with
    another module, which keeps them. Both use ``torch.nn.utils.prune``: the masks are
    part of the ``state_dict``. A module that runs several times is pruned in all of its
    calls.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The model.
        units: Numbers of the units to prune by layer. Layers are named as in the result
            of ``measure_unit_mem``.
        example: At least two images that the model accepts, shape ``(N, C, H, W)``;
            blank images of a common size by default.

    Returns:
        The pruned units. Call ``undo()`` or ``make_permanent()`` on it.

    Raises:
        MemorizationError: If a layer or unit does not exist or is already pruned, or
            its output does not become zero. The model is then unchanged.

    Examples:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> from lightly_memloc import prune_units
        >>> model = resnet18().eval()
        >>> pruned = prune_units(model, {"layer3.1": [4, 7]})
        >>> model.layer3[1](torch.rand(1, 256, 2, 2))[0, [4, 7]].abs().sum().item()
        0.0
        >>> pruned.undo()
    """
    chosen = {name: _numbers(name, of) for name, of in units.items()}
    with leave_no_trace([model], device_of(model)), torch.no_grad():
        images = example_images(model) if example is None else example
        layers = trace_layers(model, list(chosen), "units", images)
        _refuse_patterns(layers, chosen)
        pruned = PrunedUnits(model, chosen)
        try:
            for layer in layers:
                # A module that runs several times is masked once for all its calls.
                if layer.name in chosen:
                    for mask in _masks(model, layer, chosen[layer.name]):
                        pruned.add(mask)
            _refuse_outputs(model, layers, chosen, images)
        except Exception:
            pruned.undo()
            raise
    return pruned


class PrunedUnits:
    """The pruned units of a model.

    Attributes:
        model: The model.
        units: Numbers of the pruned units by layer.
    """

    def __init__(self, model: nn.Module, units: dict[str, list[int]]) -> None:
        self.model = model
        self.units = units
        self._masks: list[_Mask] = []
        self._orders: dict[nn.Module, list[str]] = {}

    def undo(self) -> None:
        """Restore the weights of the units, bit for bit.

        The parameters are those of before, in their order: an optimizer's state fits.
        """
        for mask in self._masks:
            mask.undo()
        self._clear()

    def make_permanent(self) -> None:
        """Write the zeros into the weights and remove the masks.

        The output of a residual block cannot be masked in the weights of its modules,
        nor can that of weights which are computed, frozen or shared. Such a module keeps
        a parameter ``unit_scale`` of zeros and ones.
        """
        for mask in self._masks:
            prune.remove(mask.module, mask.name)
        self._clear()

    def add(self, mask: "_Mask") -> None:
        """Apply a mask.

        Args:
            mask: The mask.
        """
        self._orders.setdefault(mask.module, list(mask.module._parameters))
        mask.apply()
        self._masks.append(mask)

    def _clear(self) -> None:
        self._masks.clear()
        for module, order in self._orders.items():
            parameters = dict(module._parameters)
            module._parameters.clear()
            for name in dict.fromkeys([*order, *parameters]):
                if name in parameters:
                    module._parameters[name] = parameters[name]
        self._orders.clear()


class _Mask:
    """A mask on some rows of a module's parameter."""

    def __init__(self, module: nn.Module, name: str, units: list[int]) -> None:
        if prune.is_pruned(module) and hasattr(module, f"{name}_orig"):
            raise MemorizationError(
                "The layer already has pruned units. Undo the pruning or make it "
                "permanent first, or prune all units at once."
            )
        self.module = module
        self.name = name
        self.units = units

    def apply(self) -> None:
        """Mask the rows."""
        mask = torch.ones_like(getattr(self.module, self.name))
        mask[self.units] = 0
        prune.custom_from_mask(self.module, self.name, mask)

    def undo(self) -> None:
        """Remove the mask."""
        kept = getattr(self.module, f"{self.name}_orig").data
        prune.remove(self.module, self.name)
        getattr(self.module, self.name).data = kept


class _OutputMask(_Mask):
    """A mask on a module's output, as a parameter that scales it."""

    def __init__(
        self, module: nn.Module, channel_dim: int, num_units: int, units: list[int]
    ) -> None:
        super().__init__(module, _SCALE, units)
        self._channel_dim = channel_dim
        self._num_units = num_units
        self._hook: RemovableHandle | None = None

    def apply(self) -> None:
        """Scale the output, and mask the scale."""
        if not hasattr(self.module, _SCALE):
            kept = (*self.module.parameters(), *self.module.buffers())
            floating = (of for of in kept if of.is_floating_point())
            ones = next(floating, torch.ones(())).new_ones(self._num_units)
            scale = nn.Parameter(ones, requires_grad=False)
            self.module.register_parameter(_SCALE, scale)
            hook = _ScaleUnits(self._channel_dim)
            self._hook = self.module.register_forward_hook(hook)
        super().apply()

    def undo(self) -> None:
        """Remove the mask and the scale."""
        super().undo()
        if self._hook is not None:
            self._hook.remove()
            delattr(self.module, _SCALE)


class _ScaleUnits:
    """A forward hook that scales the units of a module's output."""

    def __init__(self, channel_dim: int) -> None:
        self._channel_dim = channel_dim

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        tensor: Any = first_tensor(output)
        shape = [1] * tensor.dim()
        shape[self._channel_dim] = -1
        scaled = tensor * getattr(module, _SCALE).view(shape)
        return scaled if tensor is output else (scaled, *output[1:])


def _numbers(layer: str, units: Sequence[int]) -> list[int]:
    array = np.asarray(units)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise MemorizationError(
            f"Expected integer unit numbers for {layer}, got {array.dtype}."
        )
    return [int(unit) for unit in np.unique(array)]


def _refuse_patterns(
    layers: Sequence[CapturedLayer], chosen: Mapping[str, list[int]]
) -> None:
    """Refuse globs and kinds: unit numbers refer to a single layer."""
    for name in chosen.keys() - {layer.name for layer in layers}:
        raise MemorizationError(
            f"Expected the name of a single layer, got {name!r}: list layers one by one."
        )


def _masks(model: nn.Module, layer: CapturedLayer, units: list[int]) -> Iterator[_Mask]:
    """Mask units of a layer in its weights if possible, else at its output."""
    refuse_unknown_units(layer, units)
    holder = holder_of(model, layer)
    # MultiheadAttention uses its out_proj's weights without calling it.
    uncalled = layer.name.startswith(f"{layer.site.module}.")
    if uncalled or not has_unit_rows(holder):
        module = model.get_submodule(layer.site.module)
        yield _OutputMask(module, layer.channel_dim, layer.num_units, units)
        return
    norms = norms_of(model, layer)
    # A norm over several units would change other units.
    mixing = any(not isinstance(norm, _OF_SINGLE_UNITS) for norm in norms)
    modules = norms if mixing else [holder, *norms]
    refuse_rearranged(layer, modules)
    for module in modules:
        if weights_are_own(model, module):
            for name in ("weight", "bias"):
                if getattr(module, name, None) is not None:
                    yield _Mask(module, name, units)
        else:
            yield _OutputMask(module, _unit_dim(module), layer.num_units, units)


def _unit_dim(module: nn.Module) -> int:
    """The dimension of a module's output that counts its units."""
    if isinstance(module, nn.Linear | nn.LayerNorm | nn.RMSNorm):
        return -1
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return -1 - len(module.kernel_size)
    return 1


def _refuse_outputs(
    model: nn.Module,
    layers: Sequence[CapturedLayer],
    chosen: Mapping[str, list[int]],
    images: Tensor,
) -> None:
    """Refuse units whose output is not zero."""

    def check(layer: CapturedLayer, output: Tensor) -> None:
        of_module = layer.name.partition("#")[0]
        units = output.movedim(layer.channel_dim, -1)[..., chosen[of_module]]
        if units.count_nonzero():
            raise MemorizationError(
                f"The pruned units of {layer.name} are not zero: a module after the "
                "layer's weights maps zero to another value."
            )

    with captured(model, layers, check):
        run_encoder(model, torch.rand_like(images), layers[0].entry)
