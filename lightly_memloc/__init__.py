"""Measure memorisation in self-supervised vision encoders, with lightly."""

from lightly_memloc import functional
from lightly_memloc.metrics import AlignmentDistance, ClassMem, UnitMem

__all__ = ["AlignmentDistance", "ClassMem", "UnitMem", "functional"]
