"""Results for people: terminal tables, figures and findings in words."""

from lightly_memloc.report.finding import layer_mem_finding
from lightly_memloc.report.plots import (
    plot_layer_mem,
    plot_member_share,
    plot_unit_mem,
    save_with_figures,
)
from lightly_memloc.report.tables import p_value, result_tables

__all__ = [
    "layer_mem_finding",
    "p_value",
    "plot_layer_mem",
    "plot_member_share",
    "plot_unit_mem",
    "result_tables",
    "save_with_figures",
]
