"""Results in plain words."""

# Each registers its words for the results that it knows.
from lightly_memloc.report.findings import (  # noqa: F401
    accuracy,
    images,
    layers,
    units,
)
from lightly_memloc.report.findings.finding import finding

__all__ = ["finding"]
