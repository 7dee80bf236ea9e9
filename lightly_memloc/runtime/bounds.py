"""Bounds of numeric options."""

import math
from numbers import Integral, Real
from typing import Any

from lightly_memloc.errors import MemorizationError


def refuse_outside(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    whole: bool = False,
) -> None:
    """Refuse a number that is not finite or not within bounds.

    Args:
        name: The option's name, for the message.
        value: Its value.
        at_least: The smallest number allowed.
        above: A number that the value must exceed.
        at_most: The largest number allowed.
        whole: Whether only whole numbers are allowed.

    Raises:
        MemorizationError: If the value is no such number.

    Examples:
        >>> from lightly_memloc.runtime import refuse_outside
        >>> refuse_outside("learning_rate", 0.1, above=0)
        >>> refuse_outside("learning_rate", float("nan"), above=0)
        Traceback (most recent call last):
        ...
        lightly_memloc.errors.MemorizationError: Expected learning_rate to be a finite number above 0, got nan.
    """
    is_number = isinstance(value, Integral if whole else Real)
    if (
        is_number
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
    ):
        return
    bounds = {"at least": at_least, "above": above, "at most": at_most}
    within = " and ".join(
        f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None
    )
    kind = "a whole number" if whole else "a finite number"
    raise MemorizationError(
        f"Expected {name} to be {f'{kind} {within}'.strip()}, got {value!r}."
    )
