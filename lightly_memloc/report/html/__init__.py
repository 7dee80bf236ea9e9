"""Results as one HTML page that opens offline."""

from lightly_memloc.report.html.write import write_report

__all__ = ["write_report"]
