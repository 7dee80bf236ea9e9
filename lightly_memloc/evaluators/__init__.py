"""The bridge from encoders and data sets to results."""

from lightly_memloc.evaluators.class_mem import measure_class_mem
from lightly_memloc.evaluators.layer_mem import measure_layer_mem
from lightly_memloc.evaluators.unit_mem import measure_unit_mem

__all__ = ["measure_class_mem", "measure_layer_mem", "measure_unit_mem"]
