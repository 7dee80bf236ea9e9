"""The most and the least memorised images."""

from dataclasses import dataclass

from lightly_memloc.report.saved import Saved
from lightly_memloc.results import LayerMemResult, SSLMemRunsResult

_SIZE = 12


@dataclass(frozen=True)
class Scored:
    """A scored image.

    Attributes:
        index: Its index in the data set.
        name: Its file name.
        ssl_mem: Its SSLMem in the last layer.
    """

    index: int
    name: str
    ssl_mem: float


@dataclass(frozen=True)
class Gallery:
    """The images at both ends.

    Attributes:
        most: The most memorised, from the first on.
        least: The least memorised, from the last on.
    """

    most: list[Scored]
    least: list[Scored]

    @classmethod
    def of(cls, saved: Saved) -> "Gallery":
        """Choose the images of a study; none if they are not scored.

        Args:
            saved: The study.
        """
        scored = saved.first(LayerMemResult) or saved.first(SSLMemRunsResult)
        if scored is None:
            return cls([], [])
        every = len(scored.samples_to_pandas())
        ranked = scored.top_samples(every).dropna(subset=["ssl_mem"])
        columns = (ranked[name].tolist() for name in ("index", "filename", "ssl_mem"))
        images = [Scored(*row) for row in zip(*columns, strict=True)]
        return cls(images[:_SIZE], images[_SIZE:][: -_SIZE - 1 : -1])
