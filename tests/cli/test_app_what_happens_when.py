"""Each row of the page "What happens when", as it happens."""

import json
import re
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lightly_memloc as memloc
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators import UnitMemEvaluator
from lightly_memloc.interventions import tune_unit
from lightly_memloc.runtime import state_file
from tests.cli.commands import MEASURE, OWN, train
from tests.cli.encoder import make
from tests.cli.test_compare_changed import change
from tests.cli.test_interruption import interrupted
from tests.layers.test_shared_weights import tied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning"),
]

PAGE = Path(__file__).parents[2] / "docs/reference/what-happens-when.md"
ROWS = {
    cells[0]: cells[1:]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
    for cells in [[cell.strip() for cell in line.strip("| ").split(" | ")]]
    if cells[0] != "If"
}
CHECKS = {}


def row(situation):
    """Register what makes the situation of a row: it returns exit codes and words."""

    def register(function):
        CHECKS[situation] = function
        return function

    return register


def pattern(message):
    """The pattern of a message: capitals stand for names, an ellipsis for anything."""
    escaped = re.escape(message.strip("`"))
    named = re.sub(r"\b[A-Z]{2,}\b|\b[A-Z]\b", ".+", escaped)
    return named.replace("…", ".*")


def test_every_row_is_checked():
    assert list(CHECKS) == list(ROWS)


@pytest.mark.parametrize("situation", ROWS)
def test_it_happens(situation, request):
    code, message, kept = ROWS[situation]
    check = CHECKS[situation]
    names = check.__code__.co_varnames[: check.__code__.co_argcount]
    outcomes = check(*map(request.getfixturevalue, names))
    assert [str(found) for found, _ in outcomes] == code.split(", ")
    for _, said in outcomes:
        words = " ".join(said.split())
        if message.startswith("no warning"):
            assert "Warning" not in words
        else:
            assert re.search(pattern(message), words), words
    assert kept


def only(run, *arguments):
    code, out, err = run(*arguments)
    return [(code, out + err)]


@row("Ctrl-C or SIGTERM ends a training")
def a_training_is_interrupted(tmp_path, images):
    outcomes = []
    for number in (signal.SIGINT, signal.SIGTERM):
        out = tmp_path / f"run-{number}"
        when = (out / "f.state.ckpt").exists
        arguments = [*train(images, out), "--epochs", 200]
        outcomes.append(interrupted(tmp_path, number, when, *arguments))
        assert (out / "f.state.ckpt").is_file()
    return outcomes


@row("Ctrl-C or SIGTERM ends a measurement")
def a_measurement_is_interrupted(tmp_path, trained, monkeypatch):
    started, step = tmp_path / "started", UnitMemEvaluator.measure

    def slow(self, batch, views):
        if self.layers and int(batch.indices[0]) > 4:
            started.touch()
            time.sleep(0.3)
        step(self, batch, views)

    monkeypatch.setattr(UnitMemEvaluator, "measure", slow)
    outcomes = []
    for number in (signal.SIGINT, signal.SIGTERM):
        started.unlink(missing_ok=True)
        out = tmp_path / f"result-{number}"
        arguments = ["unit-mem", trained, "--views", 2, "--batch-size", 1, "--out", out]
        outcomes.append(interrupted(tmp_path, number, started.exists, *arguments))
        assert (out / "state.pt").is_file()
    return outcomes


@row("a training diverges")
def a_training_diverges(run, images, tmp_path):
    given = train(images, tmp_path / "run", "--learning-rate", 1e30)
    outcome = only(run, *given)
    assert run("layer-mem", tmp_path / "run")[0] == 1
    return outcome


@row("the disk is full")
def the_disk_is_full(run, committed):
    """The device that is always full stands in for a file on a full disk."""
    return only(run, "report", committed, "--out", "/dev/full")


@row("an output folder is a file, a pipe or a link to nothing")
def an_output_is_no_folder(run, trained, tmp_path):
    (tmp_path / "out").write_text("precious")
    outcome = only(run, "unit-mem", trained, "--out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"
    return outcome


@pytest.fixture
def study(trained, images, tmp_path):
    """A run with a result, and its images, to change."""
    shutil.copytree(images, tmp_path / "images")
    shutil.copytree(trained, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(str(images), str(tmp_path / "images")))
    return tmp_path / "run"


@pytest.fixture
def measured(study, run):
    assert run("layer-mem", study, *MEASURE)[0] == 0
    return study


@pytest.fixture
def retrained(measured):
    change(measured / "f.ckpt")
    return measured


@pytest.fixture
def committed(tmp_path):
    """A result that can be changed."""
    demo = Path(__file__).parents[2] / "docs/results/demo/unit-mem"
    return shutil.copytree(demo, tmp_path / "result")


def replace_images(folder):
    rng = np.random.default_rng(1)
    for path in folder.glob("*/*.png"):
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


@row("the images of a run were moved")
def images_are_moved(run, study):
    (study.parent / "images").rename(study.parent / "elsewhere")
    return only(run, "unit-mem", study)


@row("images of a run were replaced")
def images_are_replaced(run, study):
    replace_images(study.parent / "images")
    return only(run, "unit-mem", study)


@row("images were replaced before a measurement resumes")
def images_are_replaced_before_resuming(run, tmp_path, images, monkeypatch):
    shutil.copytree(images, tmp_path / "images")
    given = [
        *("unit-mem", tmp_path / "images", *OWN, "--input-size", 16),
        *("--views", 2, "--batch-size", 1, "--out", tmp_path / "result"),
    ]
    torch.save(make().state_dict(), tmp_path / "encoder.pt")
    given += ["--checkpoint", tmp_path / "encoder.pt"]
    step = UnitMemEvaluator.measure

    def fail(self, batch, views):
        if int(batch.indices[0]) > 4:
            raise MemorizationError("stopped")
        step(self, batch, views)

    with monkeypatch.context() as patch:
        patch.setattr(UnitMemEvaluator, "measure", fail)
        patch.setattr(state_file, "_REST", 0)
        assert run(*given)[0] == 2
    state = tmp_path / "result" / "state.pt"
    assert state.is_file()
    first = sorted((tmp_path / "images").glob("*/*.png"))[1]
    shutil.copy(sorted((tmp_path / "images").glob("*/*.png"))[2], first)
    outcome = only(run, *given, "--resume")
    assert state.is_file()
    return outcome


@row("a report is asked for with other images")
def a_report_with_other_images(run, measured, tmp_path):
    shutil.copytree(tmp_path / "images", tmp_path / "others")
    replace_images(tmp_path / "others")
    assert run("report", measured)[0] == 0
    before = (measured / "report.html").read_bytes()
    outcome = only(run, "report", measured, "--data", tmp_path / "others")
    assert (measured / "report.html").read_bytes() == before
    return outcome


@row("a probe meets images without a label")
def images_without_a_label(run, tmp_path, images):
    paths = sorted(images.glob("*/*.png"))
    rows = [
        f"{path},{-1 if number % 5 == 0 else number % 2}"
        for number, path in enumerate(paths)
    ]
    listed = tmp_path / "images.csv"
    listed.write_text("\n".join(["filename,label", *rows]) + "\n", encoding="utf-8")
    code, _, err = run(*train(listed, tmp_path / "run"))
    assert code == 0, err
    return only(run, "probe", tmp_path / "run")


@row("a run was trained again, and `membership` or `analyze` reads its former result")
def a_former_result_is_read(run, retrained):
    only(run, "analyze", retrained)
    return only(run, "membership", retrained)


@row("a run was trained again, and `curate`, `finetune` or `exchange` needs its result")
def a_former_result_is_needed(run, retrained):
    return only(run, "curate", retrained, "--top-k", 2)


@row("a run was trained again, and `report` finds its former results")
def a_former_result_is_reported(run, retrained):
    assert run("unit-mem", retrained, *MEASURE)[0] == 0
    return only(run, "report", retrained)


@row("one run of several is a copy of another")
def a_run_is_copied(run, several, tmp_path):
    shutil.copytree(several, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "run-2")
    shutil.copytree(tmp_path / "runs" / "run-1", tmp_path / "runs" / "run-2")
    return only(run, "ssl-mem", tmp_path / "runs", *MEASURE)


OLD = Path(__file__).parents[1] / "results/version_0_1_0/layer-mem"


@row("a result was saved by an earlier version")
def an_older_result(run, tmp_path):
    return only(run, "report", shutil.copytree(OLD, tmp_path / "old"))


@row("a result was saved by a later version")
def a_newer_result(run, committed):
    path = committed / "result.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(document | {"schema": 99, "version": "9.0"}))
    return only(run, "report", committed)


@row("a file of a result was changed")
def a_changed_table(run, committed):
    path = committed / "layers.csv"
    path.write_text(path.read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    return only(run, "report", committed)


@row("one of several results is broken")
def a_broken_result(run, measured):
    (measured / "broken").mkdir()
    (measured / "broken" / "result.json").write_text("{")
    return only(run, "report", measured)


VIEWS = torch.rand(4, 3, 12, 12)


@row("fine-tuning or an exchange selects a layer that shares weights with another")
def a_shared_layer_is_exchanged():
    with pytest.warns(MemorizationWarning) as warned:
        memloc.exchange_layers(tied(), tied(), ["4"], VIEWS)
    return [(0, f"Warning: {warned[0].message}")]


@row("units of a layer are pruned that shares weights with another")
def a_shared_layer_is_pruned():
    model = tied()
    weights = model[4].weight.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        memloc.prune_units(model, {"2": [1]}, VIEWS).make_permanent()
    assert torch.equal(model[4].weight, weights)
    return [(0, "")]


@row("a unit of such a layer is tuned")
def a_unit_of_a_shared_layer_is_tuned(digits, transform):
    with pytest.raises(MemorizationError) as refused:
        tune_unit(tied(), "2", 1, digits, transform, 0, steps=1)
    return [(2, f"Error: {refused.value}")]
