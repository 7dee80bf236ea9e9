"""Measure memorisation in self-supervised vision encoders, with lightly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightly_memloc import (
        data,
        errors,
        evaluators,
        functional,
        interventions,
        layers,
        metrics,
        probes,
        report,
        results,
        training,
    )
    from lightly_memloc.data import MemorizationSplit, MultiViewDataset, Study
    from lightly_memloc.errors import MemorizationError, MemorizationWarning
    from lightly_memloc.evaluators import (
        ClassMemEvaluator,
        LayerMemEvaluator,
        MemorizationCallback,
        OnlineUnitMem,
        OnlineUnitMemCallback,
        UnitMemEvaluator,
        measure_class_mem,
        measure_layer_mem,
        measure_unit_mem,
        memorization_eval,
    )
    from lightly_memloc.interventions import exchange_layers, prune_units, tune_unit
    from lightly_memloc.layers import find_layers
    from lightly_memloc.metrics import AlignmentDistance, ClassMem, UnitMem
    from lightly_memloc.results import load_result
    from lightly_memloc.training import measure_ssl_mem_runs, train_pair, train_runs

__all__ = [
    "AlignmentDistance",
    "ClassMem",
    "ClassMemEvaluator",
    "LayerMemEvaluator",
    "MemorizationCallback",
    "MemorizationError",
    "MemorizationSplit",
    "MemorizationWarning",
    "MultiViewDataset",
    "OnlineUnitMem",
    "OnlineUnitMemCallback",
    "Study",
    "UnitMem",
    "UnitMemEvaluator",
    "data",
    "errors",
    "evaluators",
    "exchange_layers",
    "find_layers",
    "functional",
    "interventions",
    "layers",
    "load_result",
    "measure_class_mem",
    "measure_layer_mem",
    "measure_ssl_mem_runs",
    "measure_unit_mem",
    "memorization_eval",
    "metrics",
    "probes",
    "prune_units",
    "report",
    "results",
    "train_pair",
    "train_runs",
    "training",
    "tune_unit",
]

_HOMES = {
    "AlignmentDistance": "metrics",
    "ClassMem": "metrics",
    "ClassMemEvaluator": "evaluators",
    "LayerMemEvaluator": "evaluators",
    "MemorizationCallback": "evaluators",
    "MemorizationError": "errors",
    "MemorizationSplit": "data",
    "MemorizationWarning": "errors",
    "MultiViewDataset": "data",
    "OnlineUnitMem": "evaluators",
    "OnlineUnitMemCallback": "evaluators",
    "Study": "data",
    "UnitMem": "metrics",
    "UnitMemEvaluator": "evaluators",
    "exchange_layers": "interventions",
    "find_layers": "layers",
    "load_result": "results",
    "measure_class_mem": "evaluators",
    "measure_layer_mem": "evaluators",
    "measure_ssl_mem_runs": "training",
    "measure_unit_mem": "evaluators",
    "memorization_eval": "evaluators",
    "prune_units": "interventions",
    "train_pair": "training",
    "train_runs": "training",
    "tune_unit": "interventions",
}


# torch, lightly and Lightning take seconds to import: names load when first used, so
# that the command line answers at once.
def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
