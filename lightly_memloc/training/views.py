"""Transforms into views by name: those of the methods, or one of the user's own."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lightly.transforms.utils import IMAGENET_NORMALIZE
from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import refuse_outside
from lightly_memloc.training.backbones import import_named
from lightly_memloc.training.config import (
    TrainingConfig,
    make_plain_transform,
    make_transform,
)
from lightly_memloc.training.methods import Method

CENTER_CROP = "center-crop"


def view_names() -> list[str]:
    """Return the names of transforms that :func:`make_views` knows."""
    return [*sorted(Method.registry), CENTER_CROP]


def make_views(name: str, config: TrainingConfig) -> Callable[[Any], Any]:
    """Make a transform into views.

    Args:
        name: The name of a training method, with its augmentation in lightly;
            ``center-crop``, which is the same view each time; or
            ``package.module:factory``, a function or class that makes the transform
            without arguments, or the transform itself.
        config: The size of the views, their normalization and further settings of a
            method's augmentation.

    Raises:
        MemorizationError: If there is no such transform, or it cannot be made.
    """
    if name == CENTER_CROP:
        return make_plain_transform(config)
    if ":" in name:
        return _own_transform(name)
    if name not in Method.registry:
        raise MemorizationError(
            f"Unknown transform {name!r}: expected one of {', '.join(view_names())}, or "
            "package.module:factory."
        )
    return make_transform(replace(config, method=name))


def normalization(text: str) -> dict[str, list[float]] | None:
    """Read a normalization.

    Args:
        text: ``imagenet``; ``none``; or mean and standard deviation separated by
            commas, of all channels (``0.5,0.5``) or of each (``R,G,B,R,G,B``).

    Returns:
        ``mean`` and ``std``, as ``torchvision.transforms.Normalize`` takes them; None
        for ``none``.

    Raises:
        MemorizationError: If it is none of these.
    """
    if text in ("imagenet", "none"):
        return dict(IMAGENET_NORMALIZE) if text == "imagenet" else None
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 6):
        raise MemorizationError(
            f"Expected a normalization to be imagenet, none, MEAN,STD or R,G,B,R,G,B, got "
            f"{text!r}."
        )
    half = len(numbers) // 2
    mean, std = numbers[:half], numbers[half:]
    for value in mean:
        refuse_outside("the mean of a normalization", value)
    for value in std:
        refuse_outside("the standard deviation of a normalization", value, above=0)
    return {"mean": mean * (3 // half), "std": std * (3 // half)}


def own_preprocessing(model: nn.Module) -> dict[str, Any]:
    """Return the preprocessing that a model states, as those of timm do.

    Args:
        model: The model.

    Returns:
        ``input_size`` and ``normalize``; empty if the model states none.
    """
    stated: Any = getattr(model, "pretrained_cfg", None)
    try:
        return {
            "input_size": int(stated["input_size"][-1]),
            "normalize": {"mean": list(stated["mean"]), "std": list(stated["std"])},
        }
    except (TypeError, KeyError, IndexError):
        return {}


def _own_transform(path: str) -> Callable[[Any], Any]:
    found = import_named(path, "transform")
    is_made = inspect.isclass(found) or (callable(found) and not _takes_an_image(found))
    try:
        transform = found() if is_made else found
    # Custom code can fail in any way.
    except Exception as error:
        raise MemorizationError(
            f"{path}, called without arguments, failed with {type(error).__name__}: "
            f"{error}"
        ) from error
    if not callable(transform):
        raise MemorizationError(
            f"{path} gave a {type(transform).__name__}; expected a transform, which maps "
            "an image to a tensor."
        )
    return transform  # type: ignore[no-any-return]


def _takes_an_image(function: Callable[..., Any]) -> bool:
    """Whether a function needs an argument, so that it is itself the transform."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(
        of.default is of.empty and of.kind not in (of.VAR_POSITIONAL, of.VAR_KEYWORD)
        for of in parameters
    )
