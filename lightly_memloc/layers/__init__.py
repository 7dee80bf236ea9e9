"""Places in a model: find them, choose them, capture what flows through them."""

from lightly_memloc.layers.capture import CapturedLayer, captured, trace_layers
from lightly_memloc.layers.find import find_layers
from lightly_memloc.layers.layer import Layer, Site

__all__ = [
    "CapturedLayer",
    "Layer",
    "Site",
    "captured",
    "find_layers",
    "trace_layers",
]
