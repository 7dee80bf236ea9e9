"""Results for people: one report per result, in the terminal, as a page and as files."""

import warnings
from collections.abc import Callable
from typing import Any

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
from lightly_memloc.report.views import plot_views, save_views

__all__ = [
    "REPORTS",
    "Report",
    "Saved",
    "Step",
    "p_value",
    "plot_views",
    "report_of",
    "save_epochs",
    "save_views",
    "save_with_figures",
    "to_svg",
    "write_report",
]

_RENAMED = {"finding": "words", "result_tables": "tables"}


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    method = _RENAMED[name]
    warnings.warn(
        f"{__name__}.{name}(result) is deprecated: use report_of(result).{method}().",
        DeprecationWarning,
        stacklevel=2,
    )
    return lambda result: getattr(report_of(result), method)()
