"""The bridge from encoders and data sets to results."""

from lightly_memloc.evaluators.callback import (
    CALLBACKS,
    MemorizationCallback,
    StudyCallback,
)
from lightly_memloc.evaluators.class_mem import ClassMemEvaluator, measure_class_mem
from lightly_memloc.evaluators.evaluator import EVALUATORS, Evaluator
from lightly_memloc.evaluators.layer_mem import (
    LayerMemEvaluator,
    measure_layer_mem,
    refuse_different_architectures,
)
from lightly_memloc.evaluators.memorization_eval import memorization_eval
from lightly_memloc.evaluators.online_callback import OnlineUnitMemCallback
from lightly_memloc.evaluators.online_unit_mem import OnlineUnitMem
from lightly_memloc.evaluators.unit_mem import UnitMemEvaluator, measure_unit_mem
from lightly_memloc.runtime import load_encoder

__all__ = [
    "CALLBACKS",
    "EVALUATORS",
    "ClassMemEvaluator",
    "Evaluator",
    "LayerMemEvaluator",
    "MemorizationCallback",
    "OnlineUnitMem",
    "OnlineUnitMemCallback",
    "StudyCallback",
    "UnitMemEvaluator",
    "load_encoder",
    "measure_class_mem",
    "measure_layer_mem",
    "measure_unit_mem",
    "memorization_eval",
    "refuse_different_architectures",
]
