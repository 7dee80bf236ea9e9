from .analysis import AnalysisResult
from .class_mem import ClassMemResult
from .curation import CurationResult
from .epochs import load_epochs, plot_epochs
from .intervention import InterventionResult
from .layer_mem import LayerMemResult
from .membership import MembershipResult
from .probe import ProbeResult
from .result import Result, find_result, load_result
from .ssl_mem_runs import SSLMemRunsResult
from .unit_mem import UnitMemResult
from .unit_tuning import UnitTuningResult

__all__ = [
    "AnalysisResult",
    "ClassMemResult",
    "CurationResult",
    "InterventionResult",
    "LayerMemResult",
    "MembershipResult",
    "ProbeResult",
    "Result",
    "SSLMemRunsResult",
    "UnitMemResult",
    "UnitTuningResult",
    "find_result",
    "load_epochs",
    "load_result",
    "plot_epochs",
]
