import sys
from textwrap import dedent

import pytest
import torch

from lightly_memloc import MemorizationCallback, MultiViewDataset, load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import CALLBACKS, EVALUATORS
from lightly_memloc.runtime.registry import Registry
from tests.evaluators.trainings import SimCLR, loader, quiet_trainer

THEIRS = """
    from pytorch_lightning import Callback

    from lightly_memloc.evaluators import UnitMemEvaluator
    from lightly_memloc.results import Result


    class LargestResult(Result):
        kind = "their-largest"

        def scalars(self):
            return self._by_layer("largest", "largest")


    class LargestEvaluator(UnitMemEvaluator):
        title = "Measuring the largest activation"

        def compute(self):
            units = super().compute().tables["units"]
            largest = units.groupby("layer", sort=False)["mu_max"].max()
            table = largest.rename("largest").reset_index()
            return LargestResult({"theirs": True}, {"layers": table})


    class TheirCallback(Callback):
        pass
"""

ENTRY_POINTS = """
    [memloc.evaluators]
    largest = their_package:LargestEvaluator
    absent_module = their_absent_package:Evaluator
    absent_class = their_package:NoSuchEvaluator
    failing = their_failing_package:Evaluator

    [memloc.callbacks]
    their_callback = their_package:TheirCallback
"""


@pytest.fixture
def their_package(tmp_path, monkeypatch):
    """Another package, installed, with entry points for evaluators and callbacks."""
    site = tmp_path / "site"
    info = site / "their_package-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "their_package.py").write_text(dedent(THEIRS))
    (site / "their_failing_package.py").write_text("raise RuntimeError('no licence')")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(dedent(ENTRY_POINTS))
    monkeypatch.syspath_prepend(site)
    yield
    for name in ("their_package", "their_failing_package"):
        sys.modules.pop(name, None)


def test_a_registered_class_is_found_by_its_name():
    registry = Registry("tests.nobody")

    @registry.register("mine")
    class Mine:
        pass

    assert registry["mine"] is Mine
    assert Mine.__name__ == "Mine"


def test_names_are_sorted():
    registry = Registry("tests.nobody")
    for name in ("b", "c", "a"):
        registry.register(name)(object())
    assert registry.names() == ["a", "b", "c"]


def test_a_taken_name_is_refused_and_stays():
    registry = Registry("tests.nobody")
    first = object()
    registry.register("mine")(first)
    with pytest.raises(MemorizationError, match="There is already a nobody 'mine'"):
        registry.register("mine")(object())
    assert registry["mine"] is first


def test_registries_do_not_share_names():
    one, other = Registry("tests.one"), Registry("tests.other")
    one.register("mine")(object())
    assert other.names() == []


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (EVALUATORS, ["class_mem", "layer_mem", "unit_mem"]),
        (CALLBACKS, ["memorization", "online_unit_mem"]),
    ],
)
def test_an_unknown_name_lists_what_there_is(registry, names):
    with pytest.raises(MemorizationError) as error:
        registry["unit_memm"]
    message = str(error.value)
    assert "'unit_memm'" in message
    assert ", ".join(names) in message


def test_an_unknown_name_lists_what_other_packages_have(their_package):
    with pytest.raises(MemorizationError) as error:
        EVALUATORS["unit_memm"]
    listed = "absent_class, absent_module, class_mem, failing, largest, layer_mem"
    assert f"{listed}, unit_mem." in str(error.value)


def test_entry_points_of_another_package_are_found(their_package):
    import their_package

    assert EVALUATORS["largest"] is their_package.LargestEvaluator
    assert CALLBACKS["their_callback"] is their_package.TheirCallback
    assert "their_callback" in CALLBACKS.names()
    assert "their_callback" not in EVALUATORS.names()


def test_entry_points_are_gone_with_their_package():
    assert "largest" not in EVALUATORS.names()
    with pytest.raises(MemorizationError, match="no evaluator 'largest'"):
        EVALUATORS["largest"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("absent_module", "their_absent_package:Evaluator", "No module named"),
        ("absent_class", "their_package:NoSuchEvaluator", "NoSuchEvaluator"),
        ("failing", "their_failing_package:Evaluator", "no licence"),
    ],
)
def test_an_entry_point_that_cannot_be_imported_is_named(
    their_package, name, value, reason
):
    with pytest.raises(MemorizationError) as error:
        EVALUATORS[name]
    message = str(error.value)
    assert repr(name) in message
    assert value in message
    assert reason in message


def test_one_that_cannot_be_imported_harms_no_other(their_package):
    assert EVALUATORS["largest"].__name__ == "LargestEvaluator"
    assert EVALUATORS["unit_mem"].__name__ == "UnitMemEvaluator"


def test_the_callback_runs_the_evaluator_of_another_package(
    their_package, digits, transform, tmp_path
):
    callback = MemorizationCallback(
        digits,
        transform,
        indices=range(12),
        n_views=2,
        evaluators=["unit_mem", "largest"],
        folder=tmp_path / "results",
    )
    method = SimCLR()
    trainer = quiet_trainer(tmp_path, callback, max_epochs=1)
    trainer.fit(method, loader(digits, range(12), transform))

    # The largest activation, in a loop over the images and their views.
    views = MultiViewDataset(digits, transform, n_views=2)
    first = method.backbone[:3].eval()
    with torch.no_grad():
        largest = max(
            float(unit)
            for index in range(12)
            for unit in first(views[index][0]).mean(dim=(0, 2, 3))
        )
    unit_mem, theirs = callback.history
    assert unit_mem.kind == "unit-mem"
    assert theirs.kind == "their-largest"
    measured = theirs.tables["layers"].set_index("layer")["largest"]
    assert measured.index.tolist() == ["0", "4"]
    assert measured["0"] == pytest.approx(largest, rel=1e-5)
    assert theirs.settings["epoch"] == 0
    assert float(trainer.callback_metrics["largest/0"]) == pytest.approx(largest)
    names = set(callback.history_to_pandas()["name"])
    assert names == {"unit_mem/0", "unit_mem/4", "largest/0", "largest/4"}
    loaded = load_result(tmp_path / "results" / "epoch=0" / "largest")
    assert type(loaded) is type(theirs)


def test_the_callback_refuses_one_that_cannot_be_imported(
    their_package, digits, transform
):
    with pytest.raises(MemorizationError, match="The evaluator 'failing' is"):
        MemorizationCallback(digits, transform, evaluators=["unit_mem", "failing"])
