"""How ClassMem is shown."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from lightly_memloc.report.charts import selectivity
from lightly_memloc.report.report import REPORTS, Drawing, Report, Step, largest
from lightly_memloc.report.style import set_labels
from lightly_memloc.report.tables import UNITS, Table, make_table, number, share
from lightly_memloc.results import ClassMemResult


@REPORTS.register(ClassMemResult.kind)
class ClassMemReport(Report[ClassMemResult]):
    """Shows ClassMem."""

    rank = 40
    made_by = (Step("Are units selective for classes instead?", "class-mem"),)

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Units and classes"

    def tables(self) -> list[Table]:
        """Return the table of layers."""
        title = f"ClassMem ({self.result.settings['classes']} classes)"
        fields = [*UNITS, number("mean", share), number("median", share)]
        layers = self.result.layers_to_pandas()
        return [make_table(title, layers, fields, bar="mean", full=1.0)]

    def words(self) -> str:
        """Say in which layer units are most selective for classes."""
        layers = self.result.layers_to_pandas().dropna(subset=["mean"])
        if layers.empty:
            return "All units are dead."
        most = largest(layers, "mean")
        return (
            f"Units are most selective for classes in {most['layer']} (mean ClassMem "
            f"{most['mean']:.3f}, {self.result.settings['classes']} classes)."
        )

    def measured(self) -> str:
        """Say what ClassMem is."""
        return "ClassMem: how selective each unit is for one class."

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``class_mem``: its distribution over the units of each layer."""
        return {"class_mem": self._draw}

    def _draw(self, axes: Axes) -> None:
        set_labels(axes, "Selectivity of units for classes", "ClassMem")
        selectivity(axes, self.result.to_pandas(), "class_mem", "ClassMem")
