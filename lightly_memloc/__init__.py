"""Measure memorisation in self-supervised vision encoders, with lightly."""

from lightly_memloc import functional
from lightly_memloc.layers import find_layers
from lightly_memloc.metrics import AlignmentDistance, ClassMem, UnitMem

__all__ = ["AlignmentDistance", "ClassMem", "UnitMem", "find_layers", "functional"]
