"""Places in a model: find them, choose them, capture what flows through them."""

from lightly_memloc.layers.capture import CapturedLayer, captured, trace_layers
from lightly_memloc.layers.example import device_of, example_images
from lightly_memloc.layers.find import find_layers
from lightly_memloc.layers.layer import Layer, Site
from lightly_memloc.layers.module_types import is_norm
from lightly_memloc.layers.segments import segments, weights_of
from lightly_memloc.layers.tap import first_tensor

__all__ = [
    "CapturedLayer",
    "Layer",
    "Site",
    "captured",
    "device_of",
    "example_images",
    "find_layers",
    "first_tensor",
    "is_norm",
    "segments",
    "trace_layers",
    "weights_of",
]
