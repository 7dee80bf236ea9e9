"""How the accuracy of probes is shown."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from lightly_memloc.report.charts import accuracies
from lightly_memloc.report.report import REPORTS, Drawing, Report, unlabelled
from lightly_memloc.report.tables import ACCURACY, Table, make_table, text
from lightly_memloc.results import ProbeResult


@REPORTS.register(ProbeResult.kind)
class ProbeReport(Report[ProbeResult]):
    """Shows the accuracy of probes."""

    rank = 70

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Accuracy"

    def tables(self) -> list[Table]:
        """Return the table of encoders and probes."""
        images = self.result.settings
        title = (
            f"Accuracy on {images['test']} images, learned from {images['train']} "
            f"({images['classes']} classes)"
        )
        fields = [text("encoder"), text("probe"), *ACCURACY]
        probes = self.result.to_pandas()
        return [make_table(title, probes, fields, bar="accuracy", full=1.0)]

    def words(self) -> str:
        """Say how accurate each encoder is with its best probe."""
        probes = self.result.to_pandas()
        best = probes.loc[probes.groupby("encoder", sort=False)["accuracy"].idxmax()]
        words = " ".join(
            f"{row['encoder']} reaches {row['accuracy']:.1%} with {row['probe']} (95% "
            f"interval {row['low']:.1%} to {row['high']:.1%})."
            for _, row in best.iterrows()
        )
        return words + unlabelled(self.result)

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``accuracy``: that of each encoder and probe."""
        return {"accuracy": self._draw}

    def _draw(self, axes: Axes) -> None:
        accuracies(axes, self.result.to_pandas())
