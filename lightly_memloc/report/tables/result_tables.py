"""The tables of a result, by its class."""

from functools import singledispatch

from lightly_memloc.report.tables.accuracy import intervention_tables, probe_tables
from lightly_memloc.report.tables.analysis import analysis_tables
from lightly_memloc.report.tables.images import curation_tables
from lightly_memloc.report.tables.layers import (
    layer_mem_tables,
    membership_tables,
    ssl_mem_runs_tables,
)
from lightly_memloc.report.tables.scalars import scalar_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.report.tables.units import (
    class_mem_tables,
    unit_mem_tables,
    unit_tuning_tables,
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
def result_tables(result: Result) -> list[Table]:
    """Make the tables of a result.

    Another package registers those of its own results with
    ``result_tables.register(ItsResult, its_tables)``; without, they are made of the
    result's scalars.

    Args:
        result: A result of any class.
    """
    return scalar_tables(result)


result_tables.register(AnalysisResult, analysis_tables)
result_tables.register(ClassMemResult, class_mem_tables)
result_tables.register(CurationResult, curation_tables)
result_tables.register(InterventionResult, intervention_tables)
result_tables.register(LayerMemResult, layer_mem_tables)
result_tables.register(MembershipResult, membership_tables)
result_tables.register(ProbeResult, probe_tables)
result_tables.register(SSLMemRunsResult, ssl_mem_runs_tables)
result_tables.register(UnitMemResult, unit_mem_tables)
result_tables.register(UnitTuningResult, unit_tuning_tables)
