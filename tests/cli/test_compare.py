import json
import shutil

import pandas as pd
import pytest

from lightly_memloc import MultiViewDataset, load_result
from tests.cli.commands import MEASURE, wrapped


def test_ssl_mem_tells_what_was_found(run, several, tmp_path):
    code, out, err = run("ssl-mem", several, *MEASURE, "--out", tmp_path)
    assert (code, err) == (0, "")
    assert max(map(len, wrapped(out))) <= 80
    result = load_result(tmp_path)
    assert result.settings["runs"] == ["run-1", "run-2", "run-3"]
    assert result.to_pandas()["layer"].tolist() == ["layer3.residual", "pool"]
    words = " ".join(out.split())
    assert "SSLMem over 3 runs" in words
    last = result.to_pandas().iloc[-1]
    assert (
        f"SSLMem of the last layer is {last['ssl_mem']:+.3f}, averaged over 3 runs (95% "
        f"interval over runs {last['ssl_mem_low']:+.3f} to {last['ssl_mem_high']:+.3f})"
    ) in words
    for name in ("layers.csv", "runs.csv", "samples.csv", "ssl_mem.png"):
        assert (tmp_path / name).is_file()
    code, again, _ = run("report", tmp_path)
    assert code == 0
    assert again.split("The report is")[0].strip() in out


def test_ssl_mem_is_saved_inside_the_folder_of_runs(run, several, tmp_path):
    runs = shutil.copytree(several, tmp_path / "runs")
    assert run("ssl-mem", runs, *MEASURE)[0] == 0
    code, out, _ = run("report", runs, "--json")
    assert code == 0
    saved = load_result(runs / "ssl-mem")
    assert json.loads(out) == {"ssl-mem": saved.to_dict()}


def test_ssl_mem_as_json(run, several, tmp_path):
    code, out, _ = run("ssl-mem", several, *MEASURE, "--json", "--out", tmp_path)
    assert code == 0
    document = json.loads(out)
    assert document == load_result(tmp_path).to_dict()
    assert document["result"] == "ssl-mem"
    samples = document["tables"]["samples"]
    rows = pd.DataFrame(samples["rows"], columns=samples["columns"])
    assert rows.groupby("layer")["runs"].sum().tolist() == [3 * 16, 3 * 16]


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_two_runs_say_that_they_give_no_intervals(run, several, tmp_path):
    runs = shutil.copytree(several, tmp_path / "runs")
    (runs / "run-2" / "g.ckpt").unlink()
    code, out, err = run("ssl-mem", runs, *MEASURE)
    assert code == 0
    assert err.startswith("Warning: run-2 is left out: ")
    assert str(runs / "run-2") in err.replace("\n", "")
    assert ".py" not in err
    words = " ".join(out.split())
    assert "averaged over two runs. Two runs give no interval" in words
    assert "--runs 3" in words
    assert "SSLMem over 2 runs" in words
    code, out, _ = run("ssl-mem", runs, *MEASURE, "--json")
    document = json.loads(out)
    assert document["settings"]["notes"] == [
        "Two runs give no intervals: train at least a third."
    ]
    assert list(document["settings"]["left_out"]) == ["run-2"]
    layers = document["tables"]["layers"]
    rows = pd.DataFrame(layers["rows"], columns=layers["columns"])
    assert rows["ssl_mem"].notna().all()
    assert rows[["ssl_mem_low", "ssl_mem_high", "ssl_mem_p"]].isna().all(axis=None)


def test_an_interrupted_ssl_mem_is_resumed(run, several, tmp_path, monkeypatch):
    arguments = ["ssl-mem", several, *MEASURE, "--batch-size", 4, "--json"]
    code, expected, _ = run(*arguments, "--out", tmp_path / "whole")
    assert code == 0
    images, keep = [], MultiViewDataset.__getitem__

    def counted(self, index):
        images.append(index)
        # A run has 24 images, so this is in the second one.
        if len(images) == 40 and interrupt:
            raise KeyboardInterrupt
        return keep(self, index)

    monkeypatch.setattr(MultiViewDataset, "__getitem__", counted)
    interrupt = True
    code, out, _ = run(*arguments, "--out", tmp_path / "cut")
    assert (code, out) == (130, "")
    assert not (tmp_path / "cut" / "result.json").exists()
    interrupt = False
    images.clear()
    code, out, _ = run(*arguments, "--out", tmp_path / "cut", "--resume")
    assert (code, out) == (0, expected)
    # The first run is not read again. The first image of a run also identifies it: its
    # result, and its state if it is measured.
    assert 24 < len(images) <= 1 + 2 * (24 + 2)
    images.clear()
    code, out, _ = run(*arguments, "--out", tmp_path / "cut")
    assert (code, out) == (0, expected)
    assert len(images) == 3 * (24 + 2)


@pytest.mark.parametrize("other", [("--views", 3), ("--seed", 1)])
def test_ssl_mem_is_not_resumed_with_other_settings(run, several, tmp_path, other):
    arguments = ["ssl-mem", several, *MEASURE, "--out", tmp_path]
    assert run(*arguments)[0] == 0
    code, out, err = run(*arguments, *other, "--resume")
    assert (code, out) == (2, "")
    assert "contains another measurement" in err
    assert run(*arguments, *other)[0] == 0


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_too_few_runs_that_can_be_measured(run, several, tmp_path):
    runs = shutil.copytree(several, tmp_path / "runs")
    shutil.rmtree(runs / "run-1")
    (runs / "run-2" / "f.ckpt").write_bytes(b"no checkpoint")
    code, out, err = run("ssl-mem", runs, *MEASURE)
    assert (code, out) == (2, "")
    error = err.split("Error: ")[1]
    assert error.startswith("Expected at least two runs, got 1. run-1: ")
    assert f"run-2: {runs / 'run-2' / 'f.ckpt'} is not a checkpoint" in error


def test_membership_of_a_measured_run(run, trained):
    assert run("layer-mem", trained, "--views", 2)[0] == 0
    code, out, _ = run("membership", trained)
    assert code == 0
    assert "alignment of f alone" in out
    assert "by SSLMem" in out
    assert (trained / "membership" / "result.json").is_file()
    code, _, err = run("membership", trained / "membership")
    assert code == 2
    assert "contains no LayerMem result, but one of membership" in err


def test_analysing_what_was_measured(run, trained, tmp_path):
    for command in ("layer-mem", "unit-mem", "class-mem"):
        assert run(command, trained, "--views", 4)[0] == 0
    code, out, err = run("analyze", trained, "--out", tmp_path / "analysis")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    tables = json.loads((tmp_path / "analysis" / "result.json").read_text())["tables"]
    assert set(tables) == {
        "consistency",
        "atypical",
        "atypical_units",
        "units_won",
        "unit_class",
        "units",
    }
    code, again, _ = run("report", tmp_path / "analysis")
    assert code == 0
    assert again.split("The report is")[0].strip() in out


def test_nothing_to_analyse(run, trained, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(trained, bare, ignore=shutil.ignore_patterns("*-mem"))
    code, _, err = run("analyze", bare)
    assert code == 2
    assert "Measure first: lightly-memloc layer-mem" in " ".join(err.split())


def test_nothing_to_resume_over_runs(run, several, tmp_path):
    code, _, err = run("ssl-mem", several, "--out", tmp_path, "--resume")
    assert code == 2
    assert "Nothing to resume" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ssl-mem", "nowhere"), "nowhere is no folder of runs ("),
        (("ssl-mem", "RUNS/run-1"), "run-1 is a single run. Train several with"),
        (("ssl-mem", "RUNS", "--layers", "bogus"), "matches 'bogus'"),
    ],
)
def test_errors(refused, several, arguments, message):
    refused(arguments, message, {"RUNS": several, "RUNS/run-1": several / "run-1"})
