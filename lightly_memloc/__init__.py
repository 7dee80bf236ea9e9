"""Measure memorisation in self-supervised vision encoders, with lightly."""

from lightly_memloc import functional
from lightly_memloc.data import MemorizationSplit, MultiViewDataset
from lightly_memloc.evaluators import (
    measure_class_mem,
    measure_layer_mem,
    measure_unit_mem,
)
from lightly_memloc.layers import find_layers
from lightly_memloc.metrics import AlignmentDistance, ClassMem, UnitMem
from lightly_memloc.results import load_result

__all__ = [
    "AlignmentDistance",
    "ClassMem",
    "MemorizationSplit",
    "MultiViewDataset",
    "UnitMem",
    "find_layers",
    "functional",
    "load_result",
    "measure_class_mem",
    "measure_layer_mem",
    "measure_unit_mem",
]
