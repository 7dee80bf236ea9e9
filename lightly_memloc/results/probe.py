"""The result of probing encoders."""

from typing import ClassVar

from lightly_memloc.results.result import Result


class ProbeResult(Result):
    """Accuracy of encoders on labelled images, by several probes.

    ``to_pandas()`` has one row per encoder and probe, with the columns ``encoder``,
    ``probe``, ``accuracy``, and its 95% interval over the test images, ``low`` and
    ``high``.
    """

    kind = "probe"
    first = "probes"
    required: ClassVar = {"probes": ("encoder", "probe", "accuracy", "low", "high")}

    def scalars(self) -> dict[str, float]:
        """Return ``accuracy/<encoder>/<probe>``."""
        columns = [self.tables["probes"][c] for c in ("encoder", "probe", "accuracy")]
        return {
            f"accuracy/{encoder}/{probe}": float(value)
            for encoder, probe, value in zip(*columns, strict=True)
        }
