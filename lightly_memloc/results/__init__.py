"""What measurements return: settings and tables, which are saved and loaded."""

from lightly_memloc.results.analysis import AnalysisResult
from lightly_memloc.results.class_mem import ClassMemResult
from lightly_memloc.results.curation import CurationResult
from lightly_memloc.results.epochs import load_epochs, plot_epochs
from lightly_memloc.results.intervention import InterventionResult
from lightly_memloc.results.layer_mem import LayerMemResult
from lightly_memloc.results.membership import MembershipResult
from lightly_memloc.results.probe import ProbeResult
from lightly_memloc.results.result import Result, find_result, load_result
from lightly_memloc.results.ssl_mem_runs import SSLMemRunsResult
from lightly_memloc.results.unit_mem import UnitMemResult, refuse_incomparable
from lightly_memloc.results.unit_tuning import UnitTuningResult

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
    "refuse_incomparable",
]
