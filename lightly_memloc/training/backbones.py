"""Backbones: encoders without a head, by name or by a custom function."""

import importlib
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import features_of

# Up to this view size ResNets get a small stem: the usual one divides the side by 4.
_SMALL = 64

_VIT = re.compile(r"(vit_[a-z0-9]+)_patch(\d+)(_.*)?")


def make_backbone(name: str, input_size: int) -> nn.Module:
    """Make a randomly initialised backbone.

    Args:
        name: One of

            - ``resnet9`` or ``resnet9-slim`` (half as wide);
            - ``resnet18``, ``resnet34`` or ``resnet50``: torchvision's without the
              classifier. For views of at most 64 pixels the stem is a single 3x3
              convolution without stride or pooling;
            - a vision transformer by its name in timm, such as
              ``vit_tiny_patch16_224``, as lightly's ``MaskedVisionTransformerTIMM``.
              The patch size is taken from the name, the image size from the views;
            - a custom function, ``package.module:function``.
        input_size: Side of the square views in pixels.

    Raises:
        MemorizationError: If there is no such backbone, timm is not installed, or the
            patches do not fit the views.
    """
    if ":" in name:
        return make_model(name)
    if name in _RESNETS:
        return _RESNETS[name](input_size)
    vit = _VIT.fullmatch(name)
    if vit is not None:
        return _vision_transformer(vit[1], int(vit[2]), input_size)
    near = get_close_matches(name, _RESNETS, n=1)
    advice = f"did you mean {near[0]!r}? Choose from" if near else "choose from"
    raise MemorizationError(
        f"Unknown backbone {name!r}; {advice} {', '.join(_RESNETS)}, a vision "
        "transformer such as vit_tiny_patch4, or package.module:function."
    )


def num_features(backbone: nn.Module, input_size: int) -> int:
    """Number of features that a backbone returns per image, positions flattened."""
    training = backbone.training
    with torch.inference_mode():
        images = torch.zeros(1, 3, input_size, input_size)
        features = features_of(backbone.eval(), images)
    backbone.train(training)
    return int(features.shape[1])


def import_named(path: str, what: str) -> Any:
    """Import what a module has under a name, given as ``package.module:name``.

    Modules in the working directory are found, as with ``python -m``.

    Args:
        path: The module and the name.
        what: What it is, for the message.

    Raises:
        MemorizationError: If there is no such thing.
    """
    module_name, _, name = path.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module_name), name)
    # Custom code can fail in any way.
    except Exception as error:
        raise MemorizationError(
            f"Cannot find the {what} {path!r} ({error}). Expected "
            "package.module:function, such as torchvision.models:resnet18."
        ) from error


def make_model(path: str) -> nn.Module:
    """Make a module with a function given as ``package.module:function``.

    Modules in the working directory are found, as with ``python -m``.

    Raises:
        MemorizationError: If there is no such function or it returns no module.
    """
    factory = import_named(path, "model")
    try:
        model = factory()
    except Exception as error:
        raise MemorizationError(
            f"{path}, called without arguments, failed with {type(error).__name__}: "
            f"{error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise MemorizationError(
            f"{path} returned a {type(model).__name__}; expected a torch.nn.Module."
        )
    return model


class BasicBlock(nn.Module):
    """Two convolutions with normalization and activation, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        out = self.act1(self.bn1(self.conv1(x)))
        residual: Tensor = self.act2(self.bn2(self.conv2(out)))
        return x + residual


class ResNet9(nn.Sequential):
    """The small ResNet of the LayerMem paper [0], without its classifier.

    It has eight convolutions for images of at most 32x32 pixels; features are averaged
    over positions.

    - [0]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        width: Channels of the first convolution; there are eight times as many
            features.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.prep = _convolution(3, width)
        self.layer1 = _residual_stage(width, 2 * width)
        self.layer2 = _convolution(2 * width, 4 * width)
        self.layer3 = _residual_stage(4 * width, 8 * width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()


def _convolution(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(channels),
            act=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2, ceil_mode=True),
        )
    )


def _residual_stage(in_channels: int, channels: int) -> nn.Sequential:
    head, residual = _convolution(in_channels, channels), BasicBlock(channels)
    return nn.Sequential(OrderedDict(head=head, residual=residual))


def _resnet(name: str, input_size: int) -> nn.Module:
    model: nn.Module = getattr(torchvision.models, name)()
    model.fc = nn.Identity()
    if input_size <= _SMALL:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


_RESNETS: dict[str, Callable[[int], nn.Module]] = {
    "resnet9": lambda _: ResNet9(),
    "resnet9-slim": lambda _: ResNet9(width=16),
    "resnet18": partial(_resnet, "resnet18"),
    "resnet34": partial(_resnet, "resnet34"),
    "resnet50": partial(_resnet, "resnet50"),
}


def _vision_transformer(model: str, patch_size: int, input_size: int) -> nn.Module:
    if find_spec("timm") is None:
        raise MemorizationError(
            'Vision transformers come from timm: pip install "lightly-memloc[timm]".'
        )
    import timm
    from lightly.models.modules import MaskedVisionTransformerTIMM

    if input_size % patch_size:
        raise MemorizationError(
            f"Views of {input_size} pixels cannot be cut into patches of {patch_size}; "
            f"choose a patch size that divides {input_size}."
        )
    family = f"{model}_patch16_224"
    if not timm.is_model(family):
        known = [n for n in timm.list_models("vit_*_patch16_224") if n.count("_") == 3]
        raise MemorizationError(
            f"timm has no vision transformer {model!r}; it has "
            f"{', '.join(n.removesuffix('_patch16_224') for n in known)}."
        )
    vit = timm.create_model(
        family,
        img_size=input_size,
        patch_size=patch_size,
        num_classes=0,
        dynamic_img_size=True,
    )
    masked: nn.Module = MaskedVisionTransformerTIMM(vit=vit)
    return masked
