import json
import shutil

import pytest

from lightly_memloc import MemorizationSplit
from tests.cli.commands import wrapped


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (
            ("prune", "RUN", "--amount", 0.5, "--trials", 2, "--views", 2),
            {"highest", "lowest", "random"},
        ),
        (("exchange", "RUN"), {"most", "least", "random"}),
        (
            ("tune-unit", "RUN", "--steps", 2, "--views", 2, "--n-units", 1),
            {"prep.conv", "layer2.conv", "layer3.residual.conv1"},
        ),
        (
            ("finetune", "RUN", "--trials", 1, "--epochs", 1),
            {"most", "last", "random", "all", "head"},
        ),
        (
            ("finetune", "RUN", "--labelled", "IMAGES", "--trials", 1, "--epochs", 1),
            {"most", "last", "random", "all", "head"},
        ),
    ],
)
def test_intervening(run, images, trained, tmp_path, arguments, rows):
    places = {"RUN": trained, "IMAGES": images}
    arguments = [places.get(argument, argument) for argument in arguments]
    code, out, err = run(*arguments, "--out", tmp_path / "out", "--json")
    assert (code, err) == (0, "")
    (first, *_) = json.loads(out)["tables"].values()
    assert rows <= {row[0] for row in first["rows"]}
    code, table, _ = run("report", tmp_path / "out")
    assert code == 0
    printed = table.split("The report is")[0]
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert rows <= set(table.split())


def test_curating_a_run_and_training_without(run, images, trained, tmp_path):
    shutil.rmtree(trained / "layer-mem", ignore_errors=True)
    arguments = ["curate", trained, "--amount", 3, "--views", 2]
    code, out, err = run(*arguments, "--json", "--out", tmp_path / "list")
    assert (code, err) == (0, "")
    columns, rows = (
        json.loads(out)["tables"]["samples"][k] for k in ("columns", "rows")
    )
    names = [row[columns.index("filename")] for row in rows]
    assert (tmp_path / "list" / "memorized.txt").read_text().split() == names
    kept = (tmp_path / "list" / "kept.txt").read_text().split()
    assert len(kept) == 37
    every = {f"{p.parent.name}/{p.name}" for p in images.glob("*/*.png")}
    assert {*kept, *names} == every
    copy = shutil.copytree(trained, tmp_path / "run")
    arguments[1] = copy
    assert run(*arguments)[0] == 0
    listed = (copy / "curate" / "result.json").read_bytes()
    code, out, err = run(*arguments, "--retrain")
    assert code == 0, err
    # A comparison and a list do not replace each other.
    assert (copy / "curate" / "result.json").read_bytes() == listed
    assert "without memorized" in out
    lines = [line for line in out.splitlines() if str(copy) not in line]
    assert max(map(len, lines)) <= 80
    for name in ("memorized", "random"):
        split = MemorizationSplit.load(copy / "retrain" / f"without-{name}/split.json")
        assert len(split.candidate) == 5


def test_curating_by_false_discovery_rate(run, trained, tmp_path):
    """Eight candidates and few external images of an encoder of one epoch: no list."""
    arguments = ["curate", trained, "--views", 2, "--out", tmp_path / "list"]
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "The list is empty: at a false discovery rate of 10%, none of" in out
    assert (tmp_path / "list" / "memorized.txt").read_text() == ""
    assert len((tmp_path / "list" / "kept.txt").read_text().splitlines()) == 40
    code, out, _ = run(*arguments, "--fdr", 0.05, "--json")
    settings = json.loads(out)["settings"]
    assert code == 0
    assert (settings["fdr"], settings["number"], settings["by_chance"]) == (0.05, 0, 0)
    code, out, _ = run(*arguments, "--top-k", 3)
    assert code == 0
    text = " ".join(out.split())
    assert "of them are expected to score as high by chance" in text
    assert max(map(len, wrapped(out))) <= 80
    code, _, _ = run("report", tmp_path / "list")
    assert code == 0
    code, _, err = run(*arguments, "--top-k", 3, "--fdr", 0.1)
    assert code == 2
    assert "Expected an amount or a false discovery rate, got both" in err
    copy = shutil.copytree(trained, tmp_path / "run")
    code, _, err = run("curate", copy, "--retrain", "--views", 2)
    assert code == 2
    assert "No image is listed, so there is nothing to train without" in err
    assert not (copy / "retrain").exists()


def test_interrupted_measurements_count_as_none(run, trained, tmp_path):
    copy = shutil.copytree(
        trained, tmp_path / "run", ignore=shutil.ignore_patterns("*-mem")
    )
    for name in ("layer-mem", "unit-mem"):
        (copy / name).mkdir()
        (copy / name / "state.pt").write_bytes(b"half")
    code, out, err = run("curate", copy, "--amount", 2, "--views", 2, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["settings"]["number"] == 2
    code, _, err = run("analyze", copy)
    assert code == 2
    assert "Measure first: lightly-memloc layer-mem" in " ".join(err.split())


def test_curating_several_runs(run, several, tmp_path):
    code, out, err = run(
        "curate", several, "--amount", 0.1, "--views", 2, "--out", tmp_path / "list"
    )
    assert (code, err) == (0, "")
    assert "candidate or" in out
    assert max(map(len, wrapped(out))) <= 80
    code, _, err = run("curate", several, "--retrain")
    assert code == 2
    assert "--retrain takes a single run, such as" in err


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_curating_several_runs_of_which_the_first_is_missing(run, several, tmp_path):
    copy = shutil.copytree(several, tmp_path / "runs")
    shutil.rmtree(copy / "run-1")
    code, out, err = run("curate", copy, "--amount", 2, "--views", 2, "--json")
    assert code == 0
    assert "run-1 is left out" in " ".join(err.split())
    names = [row[1] for row in json.loads(out)["tables"]["samples"]["rows"]]
    listed = (copy / "curate" / "memorized.txt").read_text().split()
    assert listed == names
    assert len(names) == 2
