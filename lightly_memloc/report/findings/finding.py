"""What a result says, by its class."""

from functools import singledispatch

from lightly_memloc.report.findings.accuracy import (
    intervention_finding,
    probe_finding,
)
from lightly_memloc.report.findings.images import analysis_finding, curation_finding
from lightly_memloc.report.findings.layers import (
    layer_mem_finding,
    membership_finding,
    ssl_mem_runs_finding,
)
from lightly_memloc.report.findings.units import (
    class_mem_finding,
    unit_mem_finding,
    unit_tuning_finding,
)
from lightly_memloc.results import (
    AnalysisResult,
    ClassMemResult,
    CurationResult,
    InterventionResult,
    LayerMemResult,
    MembershipResult,
    ProbeResult,
    Result,
    SSLMemRunsResult,
    UnitMemResult,
    UnitTuningResult,
)


@singledispatch
def finding(result: Result) -> str:
    """Say in plain words what a result shows, and what nothing was found of.

    Another package registers the words for its own results with
    ``finding.register(ItsResult, its_finding)``; without, there are none.

    Args:
        result: A result of any class.
    """
    return ""


finding.register(AnalysisResult, analysis_finding)
finding.register(ClassMemResult, class_mem_finding)
finding.register(CurationResult, curation_finding)
finding.register(InterventionResult, intervention_finding)
finding.register(LayerMemResult, layer_mem_finding)
finding.register(MembershipResult, membership_finding)
finding.register(ProbeResult, probe_finding)
finding.register(SSLMemRunsResult, ssl_mem_runs_finding)
finding.register(UnitMemResult, unit_mem_finding)
finding.register(UnitTuningResult, unit_tuning_finding)
