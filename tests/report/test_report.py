import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
import torchmetrics
from matplotlib.figure import Figure

from lightly_memloc import report
from lightly_memloc.errors import MemorizationError
from lightly_memloc.report import REPORTS, Report, report_of
from lightly_memloc.results import LayerMemResult, Result
from tests.report.shown import line

SLOW = {"torch", "torchvision", "torchmetrics", "lightly", "pytorch_lightning"}
# What imports these, or is about to measure or train.
SLOW_HERE = {
    *("cli", "data", "evaluators", "interventions", "layers", "metrics", "probes"),
    "training",
}


def test_every_kind_of_result_has_a_figure(results):
    own = {
        kind for kind, of in Result.kinds.items() if of.__module__.startswith("lightly")
    }
    assert {result.kind for result in results.values()} == own
    for name, result in results.items():
        figures = result.figures()
        assert figures, name
        assert result.plot()[0].axes[0].get_title() == (
            next(iter(figures.values())).axes[0].get_title()
        )


def test_every_kind_of_result_has_a_report_of_its_own(results):
    for result in results.values():
        shown = report_of(result)
        assert type(shown) is REPORTS[result.kind]
        assert type(shown) is not Report
        assert shown.title != result.kind
        assert shown.tables()
        assert shown.words()


def test_a_figure_is_drawn_once_and_those_not_asked_for_never(results, monkeypatch):
    def refuse(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("lightly_memloc.report.layer_mem.draw_estimates", refuse)
    figures = results["vit"].figures()
    assert len(figures) == len(list(figures)) == 3
    assert "layer_mem" in figures
    assert figures["ssl_mem"] is figures["ssl_mem"]
    with pytest.raises(AssertionError, match="drawn"):
        figures["layer_mem"]


def test_an_unknown_figure_is_refused_with_those_there_are(results):
    with pytest.raises(MemorizationError, match=r"'layer_mem', 'ssl_mem'.*got 'depth'"):
        results["resnet"].plot("depth")
    with pytest.raises(KeyError, match="depth"):
        results["resnet"].figures()["depth"]


def test_plot_draws_on_axes_that_are_given(results):
    result = results["resnet"]
    mine = Figure()
    left, right = mine.subplots(1, 2)
    figure, axes = result.plot(ax=right)
    assert figure is mine
    assert axes is right
    assert not left.lines
    shown = {of.get_label(): of.get_ydata() for of in right.lines}
    np.testing.assert_array_equal(shown["symmetric"], result.to_pandas()["symmetric"])
    own, _ = result.plot()
    np.testing.assert_array_equal(line(own, "symmetric"), shown["symmetric"])


def test_every_figure_can_be_drawn_on_axes_that_are_given(results):
    for result in results.values():
        for name in result.figures():
            axes = Figure().add_subplot()
            figure, drawn = result.plot(name, ax=axes)
            assert (figure, drawn) == (axes.figure, axes)
            assert axes.get_title()


def test_plot_is_called_as_that_of_torchmetrics(results):
    theirs = inspect.signature(torchmetrics.MeanMetric.plot)
    assert list(theirs.parameters)[2] == "ax"
    assert list(inspect.signature(Result.plot).parameters)[2] == "ax"
    metric = torchmetrics.MeanMetric()
    metric.update(1.0)
    axes = Figure().add_subplot()
    assert metric.plot(ax=axes)[1] is results["resnet"].plot(ax=axes)[1]


def test_a_result_without_a_report_is_shown_by_what_it_logs():
    class Unreported(Result):
        kind = "unreported"

        def scalars(self):
            return {"largest/conv1": 2.5}

    result = Unreported({"notes": ["Largest of one seed."]}, {})
    shown = report_of(result)
    assert shown.title == "unreported"
    assert shown.limits() == ["Largest of one seed."]
    assert [table.rows for table in shown.tables()] == [(("conv1", "2.5"),)]
    assert (shown.words(), dict(result.figures())) == ("", {})
    with pytest.raises(MemorizationError, match="no such figure of unreported"):
        result.plot()


def test_the_names_of_0_1_work_with_a_warning(results):
    for name, method in (("finding", "words"), ("result_tables", "tables")):
        with pytest.warns(DeprecationWarning, match=rf"report_of\(result\)\.{method}"):
            old = getattr(report, name)
        result = results["resnet"]
        assert old(result) == getattr(report_of(result), method)()
    with pytest.raises(AttributeError, match="has no attribute 'findings'"):
        _ = report.findings


def test_two_reports_of_a_kind_are_refused():
    with pytest.raises(MemorizationError, match="already a report 'layer-mem'"):
        REPORTS.register(LayerMemResult.kind)(Report)


def imported(tree):
    """Modules that are imported when a file is, not those within its functions."""
    for node in tree.body if isinstance(tree, ast.Module | ast.ClassDef) else ():
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "lightly_memloc":
                yield from (f"lightly_memloc.{name.name}" for name in node.names)
        yield from imported(node)


def test_a_report_needs_nothing_that_measures():
    files = sorted(Path(report.__file__).parent.glob("*.py"))
    assert len(files) > 15
    for file in files:
        for module in imported(ast.parse(file.read_text())):
            first, *inner = module.split(".")
            assert first not in SLOW, file
            assert not (first == "lightly_memloc" and SLOW_HERE & set(inner[:1])), file
