"""Places in a model: find them, select them, capture what flows through them."""

from lightly_memloc.layers.capture import CapturedLayer, captured, trace_layers
from lightly_memloc.layers.find import find_layers
from lightly_memloc.layers.layer import Layer, Site, is_norm
from lightly_memloc.layers.segments import (
    device_of,
    example_images,
    segments,
    weights_of,
)
from lightly_memloc.layers.shared_weights import (
    module_of,
    other_users,
    shared_weights,
)
from lightly_memloc.layers.trace import features_of, first_tensor, run_encoder

__all__ = [
    "CapturedLayer",
    "Layer",
    "Site",
    "captured",
    "device_of",
    "example_images",
    "features_of",
    "find_layers",
    "first_tensor",
    "is_norm",
    "module_of",
    "other_users",
    "run_encoder",
    "segments",
    "shared_weights",
    "trace_layers",
    "weights_of",
]
