"""Estimates as columns of a table."""

from typing import Any

from lightly_memloc.functional import Estimate, MemberShareEstimate, StudentMean


def estimate_columns(
    name: str, estimate: Estimate | MemberShareEstimate | StudentMean
) -> dict[str, Any]:
    """Columns of an estimate: itself, and what is known of its spread.

    Args:
        name: The estimate's column; the others are ``_error`` (Student's), ``_low``,
            ``_high``, ``_p``, ``_null_low`` and ``_null_high`` (of the member share)
            after it.
        estimate: The estimate. Scalars give scalars.
    """
    endings = ("error", "low", "high", "p", "null_low", "null_high")
    return {name: estimate.value[()]} | {
        f"{name}_{ending}": getattr(estimate, ending)[()]
        for ending in endings
        if hasattr(estimate, ending)
    }
