"""Results for people: one report per result, in the terminal, as a page and as files."""

# Each of these registers the report of a result.
from lightly_memloc.report import (  # noqa: F401
    analysis,
    class_mem,
    curation,
    intervention,
    layer_mem,
    membership,
    probe,
    ssl_mem_runs,
    unit_mem,
    unit_tuning,
)
from lightly_memloc.report.page import write_report
from lightly_memloc.report.report import REPORTS, Report, Step, report_of
from lightly_memloc.report.saved import Saved, save_epochs, save_with_figures
from lightly_memloc.report.svg import to_svg
from lightly_memloc.report.tables import p_value
from lightly_memloc.report.unit_mem import plot_epochs

__all__ = [
    "REPORTS",
    "Report",
    "Saved",
    "Step",
    "p_value",
    "plot_epochs",
    "report_of",
    "save_epochs",
    "save_with_figures",
    "to_svg",
    "write_report",
]
