"""What another package adds for a result of its own: three files and an entry point."""

import io
import sys
from textwrap import dedent

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from lightly_memloc import load_result
from lightly_memloc.cli import app
from lightly_memloc.errors import MemorizationError
from lightly_memloc.report import report_of, save_with_figures, write_report

FILES = {
    "result.py": """
        from lightly_memloc.results import Result


        class SparsityResult(Result):
            kind = "sparsity"

            def to_pandas(self):
                return self.tables["layers"].copy()

            def scalars(self):
                return self._by_layer("sparsity", "sparsity")
    """,
    "report.py": """
        from lightly_memloc.report import REPORTS, Report, Step
        from lightly_memloc.report.charts import along_depth
        from lightly_memloc.report.style import BLUE, set_labels
        from lightly_memloc.report.tables import make_table, number, share, text

        from sparsity.result import SparsityResult


        @REPORTS.register(SparsityResult.kind)
        class SparsityReport(Report[SparsityResult]):
            rank = 35
            made_by = (Step("How sparse are activations?", "sparsity"),)

            @property
            def title(self):
                return "Sparsity"

            def tables(self):
                fields = [text("layer"), number("sparsity", share)]
                return [make_table("Zeros", self.result.to_pandas(), fields)]

            def words(self):
                top = self.result.to_pandas().set_index("layer")["sparsity"]
                return f"{top.idxmax()} is the sparsest layer."

            def drawings(self):
                return {"sparsity": self._draw}

            def _draw(self, axes):
                set_labels(axes, "Zeros along depth", "share of zeros")
                series = [("sparsity", "zeros", BLUE, "o", "-")]
                along_depth(axes, self.result.to_pandas(), series)
    """,
    "measure.py": """
        import pandas as pd

        from sparsity.result import SparsityResult


        def measure_sparsity(layers):
            rows = [(name, sum(v == 0 for v in of) / len(of)) for name, of in layers]
            table = pd.DataFrame(rows, columns=["layer", "sparsity"])
            return SparsityResult({}, {"layers": table})
    """,
}
ENTRY_POINT = """
    [memloc.reports]
    sparsity = sparsity.report:SparsityReport
    broken = sparsity.no_such_module:Report
"""


@pytest.fixture
def measured(tmp_path, monkeypatch):
    site = tmp_path / "site"
    package, info = site / "sparsity", site / "sparsity-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    for name, text in {"__init__.py": "", **FILES}.items():
        (package / name).write_text(dedent(text))
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: sparsity\nVersion: 1\n"
    )
    (info / "entry_points.txt").write_text(dedent(ENTRY_POINT))
    monkeypatch.syspath_prepend(str(site))
    from sparsity.measure import measure_sparsity

    yield measure_sparsity([("conv1", [0, 1, 2, 3]), ("fc", [0, 0, 0, 5])])
    forget()


def forget():
    """Forget the package, as a new process has not imported it."""
    from lightly_memloc.report import REPORTS
    from lightly_memloc.results import Result

    for name in [name for name in sys.modules if name.split(".")[0] == "sparsity"]:
        del sys.modules[name]
    REPORTS._registered.pop("sparsity", None)
    Result.kinds.pop("sparsity", None)


def test_it_is_shown_on_a_terminal_on_a_page_and_as_image(
    measured, tmp_path, monkeypatch, capsys
):
    study = tmp_path / "study"
    save_with_figures(measured, study / "sparsity")
    image = Image.open(study / "sparsity" / "sparsity.png")
    assert min(image.size) >= 400
    assert len(image.convert("L").getcolors()) > 20
    assert "conv1, zeros: +0.250" in (study / "sparsity" / "sparsity.svg").read_text()
    forget()
    monkeypatch.setattr(sys, "argv", ["lightly-memloc", "report", str(study)])
    with pytest.raises(SystemExit, match="0"):
        app.main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed[:4]] == [
        ["Zeros"],
        ["layer", "sparsity"],
        ["conv1", "0.250"],
        ["fc", "0.750"],
    ]
    assert "fc is the sparsest layer." in printed
    page = (study / "report.html").read_text()
    assert "<h2>Sparsity</h2>" in page
    assert "<h3>Zeros along depth</h3>" in page
    assert "<title>fc, zeros: +0.750</title>" in page
    assert "<li>fc is the sparsest layer.</li>" in page


def test_its_figures_are_drawn_by_the_result(measured):
    _, axes = measured.plot()
    pd.testing.assert_series_equal(
        pd.Series(axes.lines[0].get_ydata(), name="sparsity"),
        measured.to_pandas()["sparsity"],
    )
    console = Console(file=io.StringIO(), record=True)
    console.print(report_of(measured).tables()[0])
    assert "0.750" in console.export_text()


def test_it_is_suggested_where_it_was_not_measured(measured, page_file, run, tmp_path):
    page = write_report(run, tmp_path / "report.html").read_text()
    step = "<dt>How sparse are activations?</dt>"
    assert step in page
    assert "<code>lightly-memloc sparsity " in page
    assert step not in page_file.read_text()


def test_a_report_that_cannot_be_imported_fails_where_it_is_needed(measured, tmp_path):
    measured.save(tmp_path / "broken")
    with pytest.raises(MemorizationError, match=r"sparsity\.no_such_module"):
        write_report(tmp_path)
    assert load_result(tmp_path / "broken").kind == "sparsity"
