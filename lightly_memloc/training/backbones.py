"""Backbones: encoders without a head, by name."""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec

import torch
import torchvision
from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training.factory import make_model
from lightly_memloc.training.resnet9 import ResNet9

# Views up to this size get a ResNet's small stem: the usual one leaves a quarter.
_SMALL = 64

_VIT = re.compile(r"(vit_[a-z0-9]+)_patch(\d+)(_.*)?")


def make_backbone(name: str, input_size: int) -> nn.Module:
    """Make a randomly initialised backbone.

    Args:
        name: ``resnet9``, ``resnet9-slim`` (half as wide); ``resnet18``, ``resnet34``
            or ``resnet50``, torchvision's without classifier, for views of at most 64
            pixels with a convolution of 3x3 without stride or pooling as stem; a
            vision transformer by its name in timm, such as ``vit_tiny_patch16_224``,
            with patches of the given size for views of the input size, as lightly's
            ``MaskedVisionTransformerTIMM``; or a function of your own,
            ``package.module:function``.
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
    advice = f"did you mean {near[0]!r}? There are" if near else "choose one of"
    raise MemorizationError(
        f"Unknown backbone {name!r}; {advice} {', '.join(_RESNETS)}, a vision "
        "transformer such as vit_tiny_patch4, or package.module:function."
    )


def num_features(backbone: nn.Module, input_size: int) -> int:
    """Number of features that a backbone gives for an image, positions flattened."""
    training = backbone.training
    with torch.inference_mode():
        features = backbone.eval()(torch.zeros(1, 3, input_size, input_size))
    backbone.train(training)
    return int(features.flatten(start_dim=1).shape[1])


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
