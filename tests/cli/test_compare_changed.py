"""Commands that read results: stale ones are refused, left out or measured again."""

import json
import shutil

import pytest
import torch

from tests.cli.commands import MEASURE, invoke, train

# As on the command line, where warnings are shown.
pytestmark = pytest.mark.filterwarnings(
    "default::lightly_memloc.errors.MemorizationWarning"
)


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    """A run with results; its first run's layer-mem, unit-mem and class-mem."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    shutil.copytree(trained, folder)
    for command in ("layer-mem", "unit-mem", "class-mem"):
        assert invoke(command, folder, *MEASURE) == 0
    assert invoke("membership", folder) == 0
    assert invoke("probe", folder) == 0
    return folder


@pytest.fixture
def retrained(measured, tmp_path):
    """A run with results of its former encoder f."""
    shutil.copytree(measured, tmp_path / "run")
    change(tmp_path / "run" / "f.ckpt")
    return tmp_path / "run"


def change(checkpoint):
    document = torch.load(checkpoint, weights_only=True)
    for value in document["state_dict"].values():
        if value.is_floating_point():
            value += torch.rand_like(value)
    torch.save(document, checkpoint)


@pytest.mark.parametrize("place", [".", "layer-mem"])
def test_membership_refuses_it(run, retrained, place):
    code, out, err = run("membership", retrained / place)
    assert (code, out) == (2, "")
    assert "the weights of f changed since it was measured" in err
    assert f"Measure again: lightly-memloc layer-mem {retrained}" in err


@pytest.mark.parametrize(
    ("stale", "command"),
    [("layer-mem", "layer-mem"), ("unit-mem", "unit-mem"), ("class-mem", "class-mem")],
)
def test_analyze_refuses_any(run, measured, retrained, stale, command):
    for name in ("layer-mem", "unit-mem", "class-mem"):
        if name != stale:
            assert run(name, retrained, *MEASURE)[0] == 0
    code, _, err = run("analyze", retrained)
    assert code == 2
    assert f"Measure again: lightly-memloc {command} {retrained}" in err


def test_curate_measures_anew(run, retrained):
    (retrained / "again").mkdir()
    code, out, err = run("curate", retrained, "--top-k", 3, "--views", 2, "--json")
    assert code == 0
    assert "of an earlier state: the weights of f changed" in " ".join(err.split())
    shutil.rmtree(retrained / "layer-mem")
    again = run("curate", retrained, "--top-k", 3, "--views", 2, "--json")
    assert again[2] == ""
    assert json.loads(out)["tables"] == json.loads(again[1])["tables"]


@pytest.mark.parametrize("command", ["finetune", "exchange"])
def test_interventions_measure_anew(run, retrained, command):
    few = ("--trials", 1, "--epochs", 1) if command == "finetune" else ()
    code, _, err = run(command, retrained, *few)
    assert code == 0
    assert "the weights of f changed" in " ".join(err.split())


def test_the_report_leaves_them_out(run, retrained):
    assert run("layer-mem", retrained, *MEASURE)[0] == 0
    code, out, err = run("report", retrained, "--json")
    said = " ".join(err.split())
    assert code == 0
    assert list(json.loads(out)) == ["layer-mem"]
    for name in ("unit-mem", "class-mem", "membership", "probe"):
        assert f"{retrained / name} is left out" in said


@pytest.mark.parametrize("place", [".", "layer-mem"])
def test_a_report_of_nothing_else_is_refused(run, retrained, place):
    code, _, err = run("report", retrained / place)
    assert code == 2
    assert "measure again" in " ".join(err.split())
    assert not (retrained / place / "report.html").exists()


def test_results_over_runs(run, several, tmp_path):
    shutil.copytree(several, tmp_path / "runs")
    assert run("ssl-mem", tmp_path / "runs", *MEASURE)[0] == 0
    assert run("report", tmp_path / "runs")[2] == ""
    change(tmp_path / "runs" / "run-2" / "g.ckpt")
    code, _, err = run("curate", tmp_path / "runs", "--top-k", 2, "--views", 2)
    assert code == 0
    assert "the weights of g in run-2 changed" in " ".join(err.split())
    code, _, err = run("report", tmp_path / "runs" / "ssl-mem")
    assert code == 2
    assert "the weights of g in run-2 changed" in " ".join(err.split())


@pytest.mark.parametrize("command", ["ssl-mem", "exchange"])
def test_a_copied_run_counts_once(run, several, tmp_path, command):
    shutil.copytree(several, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "run-3")
    shutil.copytree(tmp_path / "runs" / "run-1", tmp_path / "runs" / "run-3")
    more = MEASURE if command == "ssl-mem" else ()
    code, out, err = run(command, tmp_path / "runs", *more, "--json")
    assert code == 0
    said = " ".join(err.split())
    assert "run-3 is left out: its encoders are those of run-1" in said
    assert json.loads(out)["settings"]["runs"] == ["run-1", "run-2"]


def test_a_pair_that_shares_one_encoder_with_another_is_a_copy(run, several, tmp_path):
    shutil.copytree(several, tmp_path / "runs")
    shutil.copy(tmp_path / "runs/run-1/g.ckpt", tmp_path / "runs/run-2/g.ckpt")
    code, out, err = run("ssl-mem", tmp_path / "runs", *MEASURE, "--json")
    assert code == 0
    assert "run-2 is left out" in " ".join(err.split())
    assert json.loads(out)["settings"]["runs"] == ["run-1", "run-3"]


def test_what_an_earlier_training_measured_is_left_out(run, images, tmp_path):
    folder = tmp_path / "run"
    given = train(images, folder, "--epochs", 2)
    assert run(*given, "--callback", "memorization")[0] == 0
    assert run("unit-mem", folder, *MEASURE)[0] == 0
    code, _, err = run("report", folder)
    assert (code, err) == (0, "")
    assert "In training" in (folder / "report.html").read_text(encoding="utf-8")
    for path in (*folder.glob("*.ckpt"), folder / "losses.csv"):
        path.unlink()
    # The same split, another training.
    assert run(*given, "--learning-rate", 0.01)[0] == 0
    assert run("unit-mem", folder, *MEASURE)[0] == 0
    code, _, err = run("report", folder)
    assert code == 0
    assert "of an earlier training of this run" in " ".join(err.split())
    assert "In training" not in (folder / "report.html").read_text(encoding="utf-8")
