"""Results in plain words."""

from lightly_memloc.report.findings.finding import finding

__all__ = ["finding"]
