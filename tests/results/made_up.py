"""A result of another package, whose tables may be anything."""

from lightly_memloc.results import Result


class MadeUpResult(Result):
    """Any tables."""

    kind = "made-up"
    first = "samples"

    def scalars(self):
        return {}
