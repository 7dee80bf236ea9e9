"""The result of probing encoders."""

import pandas as pd

from lightly_memloc.results.result import Result


class ProbeResult(Result):
    """Accuracy of encoders on labelled images, by several probes."""

    kind = "probe"

    def to_pandas(self) -> pd.DataFrame:
        """Return a row an encoder and probe.

        Columns: ``encoder``, ``probe``, ``accuracy``, and its 95% interval over the
        test images, ``low`` and ``high``.
        """
        return self.tables["probes"].copy()

    def scalars(self) -> dict[str, float]:
        """Return ``accuracy/<encoder>/<probe>``."""
        columns = [self.tables["probes"][c] for c in ("encoder", "probe", "accuracy")]
        return {
            f"accuracy/{encoder}/{probe}": float(value)
            for encoder, probe, value in zip(*columns, strict=True)
        }
