"""Estimates as columns of a table."""

from typing import Any

from lightly_memloc.functional import Estimate, StudentMean


def estimate_columns(name: str, estimate: Estimate | StudentMean) -> dict[str, Any]:
    """Columns of an estimate: itself, and what is known of its spread.

    Args:
        name: The estimate's column; the others are ``_error`` (Student's), ``_low``,
            ``_high`` and ``_p`` after it.
        estimate: The estimate. Scalars give scalars.
    """
    fields = {"": "value", "_error": "error", "_low": "low", "_high": "high", "_p": "p"}
    return {
        f"{name}{ending}": getattr(estimate, field)[()]
        for ending, field in fields.items()
        if hasattr(estimate, field)
    }
