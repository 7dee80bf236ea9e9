"""Results for people: terminal tables, figures and findings in words."""

from lightly_memloc.report.finding import layer_mem_finding, ssl_mem_runs_finding
from lightly_memloc.report.save import save_with_figures
from lightly_memloc.report.tables import p_value, result_tables

__all__ = [
    "layer_mem_finding",
    "p_value",
    "result_tables",
    "save_with_figures",
    "ssl_mem_runs_finding",
]
