"""Augmentations that several methods share."""

from collections.abc import Callable
from typing import Any

from lightly.transforms import BYOLTransform
from lightly.transforms.byol_transform import BYOLView1Transform, BYOLView2Transform


def without_solarization(settings: dict[str, Any]) -> bool:
    """Whether colours are left alone, and solarization with them."""
    return settings.get("cj_prob") == 0.0


def byol_transform(**settings: Any) -> Callable[[Any], Any]:
    """Make lightly's BYOLTransform, which Barlow Twins takes as well.

    Args:
        settings: Keyword arguments of both views' transforms. Without colour jitter
            there is no solarization either.
    """
    second = dict(settings)
    if without_solarization(settings):
        second["solarization_prob"] = 0.0
    transform: Callable[[Any], Any] = BYOLTransform(
        view_1_transform=BYOLView1Transform(**settings),
        view_2_transform=BYOLView2Transform(**second),
    )
    return transform
