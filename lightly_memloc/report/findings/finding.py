"""What a result says, by its class."""

from functools import singledispatch

from lightly_memloc.results import Result


@singledispatch
def finding(result: Result) -> str:
    """Say in plain words what a result shows, and what nothing was found of.

    Another package registers the words for its own results with
    ``finding.register(ItsResult, its_finding)``; without, there are none.

    Args:
        result: A result of any class.
    """
    return ""
