"""Results for people: tables, findings in words, and the report."""

from lightly_memloc.report.findings import finding
from lightly_memloc.report.html import write_report
from lightly_memloc.report.save import save_epochs, save_with_figures
from lightly_memloc.report.saved import Saved
from lightly_memloc.report.tables import p_value, result_tables

__all__ = [
    "Saved",
    "finding",
    "p_value",
    "result_tables",
    "save_epochs",
    "save_with_figures",
    "write_report",
]
