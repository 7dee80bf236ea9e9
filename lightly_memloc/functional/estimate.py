"""One type for every number with an interval."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from lightly_memloc.functional.resampling import Array


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate with its confidence interval and p-value.

    The fields are arrays of one shape, usually one entry per layer; a single number
    has the shape ``()``. A field that the estimator does not provide is None.

    Attributes:
        value: The estimate.
        low: Lower end of the confidence interval.
        high: Upper end of the confidence interval.
        p: Two-sided p-value, unless the estimator says otherwise.
        p_adjusted: The p-value, adjusted for the number of layers tested.
        error: Standard error.
        n: Number of values that were averaged.
        null: The expected value under the null hypothesis.
        null_low: Lower end of the interval that contains the value under the null.
        null_high: Upper end of that interval.
        simultaneous_low: Lower end of an interval that covers in all layers at once
            with the same confidence.
        simultaneous_high: Upper end of that interval.

    Examples:
        >>> from lightly_memloc.functional import student_mean
        >>> list(student_mean([1.0, 2.0, 3.0]).columns("gap"))
        ['gap', 'gap_error', 'gap_low', 'gap_high', 'gap_p']
    """

    value: Array
    low: Array
    high: Array
    p: Array | None = None
    p_adjusted: Array | None = None
    error: Array | None = None
    n: Array | None = None
    null: Array | None = None
    null_low: Array | None = None
    null_high: Array | None = None
    simultaneous_low: Array | None = None
    simultaneous_high: Array | None = None

    def __iter__(self) -> Iterator[Array]:
        """Iterate over the provided fields: ``value, low, high, p = estimate``."""
        provided = (getattr(self, field.name) for field in fields(Estimate))
        return (values for values in provided if values is not None)

    @classmethod
    def unknown(cls, size: int, *more: str) -> "Estimate":
        """Return an estimate of NaN with ``size`` entries, with a p-value.

        Args:
            size: Number of entries.
            more: Names of further fields, such as ``"p_adjusted"``.
        """
        names = ("value", "low", "high", "p", *more)
        return cls(**{name: np.full(size, np.nan) for name in names})

    def mapped(self, function: Callable[[Array], Array]) -> "Estimate":
        """Return the estimate on another scale.

        Args:
            function: An increasing function, of the values and of the interval's ends.
        """
        ends = ("low", "high", "simultaneous_low", "simultaneous_high")
        given = (name for name in ("value", *ends) if getattr(self, name) is not None)
        return replace(self, **{name: function(getattr(self, name)) for name in given})

    def padded(self, n: int) -> "Estimate":
        """Return the estimate with ``n`` unknown entries before its own."""
        padded = {
            field.name: np.concatenate([np.full(n, np.nan), values])
            for field in fields(Estimate)
            if (values := getattr(self, field.name)) is not None
        }
        return replace(self, **padded)

    def columns(self, name: str) -> dict[str, Any]:
        """Return the columns of a table: the value, and what is known of its spread.

        Args:
            name: The column of the value. The others append ``_error``, ``_low``,
                ``_high``, ``_p``, ``_p_adjusted``, ``_null_low``, ``_null_high``,
                ``_simultaneous_low`` and ``_simultaneous_high``, as far as the estimate
                provides them.

        Returns:
            Arrays by column; scalars if the estimate is a single number.
        """
        endings = (
            *("error", "low", "high", "p", "p_adjusted", "null_low", "null_high"),
            *("simultaneous_low", "simultaneous_high"),
        )
        return {name: np.asarray(self.value)[()]} | {
            f"{name}_{ending}": np.asarray(getattr(self, ending))[()]
            for ending in endings
            if getattr(self, ending) is not None
        }
