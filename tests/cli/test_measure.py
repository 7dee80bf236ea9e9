import json

import numpy as np
import pytest

from lightly_memloc import MemorizationSplit, MultiViewDataset, load_result
from lightly_memloc.evaluators import EVALUATORS, UnitMemEvaluator
from lightly_memloc.results import Result
from tests.cli.commands import OWN, wrapped


@pytest.mark.parametrize("command", ["layer-mem", "unit-mem", "class-mem"])
def test_measuring_a_run_needs_nothing_else(run, trained, command):
    code, out, err = run(command, trained, "--views", 2)
    assert (code, err) == (0, "")
    assert "layer3.residual" in out
    assert max(map(len, wrapped(out))) <= 80
    assert (trained / command / "result.json").is_file()
    assert (trained / command / "layers.csv").is_file()


@pytest.mark.parametrize("command", ["layer-mem", "unit-mem", "class-mem"])
def test_an_interrupted_measurement_is_resumed(
    run, trained, tmp_path, monkeypatch, command
):
    arguments = [command, trained, "--views", 2, "--batch-size", 2, "--json"]
    _, expected, _ = run(*arguments, "--out", tmp_path / "whole")
    images, keep = [], MultiViewDataset.__getitem__

    def interrupted(self, index):
        images.append(index)
        # Four are read for the picture of the views.
        if len(images) == 13:
            raise KeyboardInterrupt
        return keep(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(MultiViewDataset, "__getitem__", interrupted)
        code, out, _ = run(*arguments, "--out", tmp_path / "cut")
    assert (code, out) == (130, "")
    assert (tmp_path / "cut" / "state.pt").is_file()
    code, out, _ = run(*arguments, "--out", tmp_path / "cut", "--resume")
    assert code == 0
    assert out == expected
    assert not (tmp_path / "cut" / "state.pt").exists()


def test_a_measurement_that_is_not_resumed_begins_anew(run, trained, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"of another measurement")
    code, _, _ = run("unit-mem", trained, "--views", 2, "--out", tmp_path)
    assert code == 0
    assert load_result(tmp_path).settings["reference"]
    assert not (tmp_path / "state.pt").exists()


def test_any_evaluator_by_its_name(run, trained, tmp_path):
    _, expected, _ = run("unit-mem", trained, "--views", 2, "--json")
    code, out, _ = run(
        "measure", "unit_mem", trained, "--views", 2, "--json", "--out", tmp_path
    )
    assert (code, out) == (0, expected)


class LargestResult(Result):
    """One of another package, which knows nothing of what others have in settings."""

    kind = "largest-of-another-package"

    def scalars(self):
        return self._by_layer("largest", "largest")


class LargestEvaluator(UnitMemEvaluator):
    def compute(self):
        units = super().compute().to_pandas()
        largest = units.groupby("layer", sort=False)["mu_max"].max()
        table = largest.rename("largest").reset_index()
        return LargestResult({"units": np.int64(len(units))}, {"layers": table})


def test_an_evaluator_of_another_package(run, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(EVALUATORS._registered, "largest", LargestEvaluator)
    arguments = ["measure", "largest", trained, "--views", 2, "--out", tmp_path]
    code, out, err = run(*arguments, "--layers", "pool", "--layers", "prep.conv")
    assert (code, err) == (0, "")
    value = load_result(tmp_path).tables["layers"]["largest"][0]
    lines = [line.split() for line in out.splitlines()]
    assert lines[:2] == [
        ["largest", "(largest-of-another-package)"],
        ["layer", "largest"],
    ]
    assert lines[2][:2] == ["prep.conv", f"{value:.4g}"]
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["settings"]["units"] > 0


def test_probing(run, trained, tmp_path):
    code, out, err = run(
        "probe", trained, "--probe", "knn", "--out", tmp_path / "out", "--json"
    )
    assert (code, err) == (0, "")
    rows = json.loads(out)["tables"]["probes"]["rows"]
    assert [row[:2] for row in rows] == [["f", "knn"], ["g", "knn"]]
    code, table, _ = run("report", tmp_path / "out")
    assert code == 0
    printed = table.split("The report is")[0]
    assert max(map(len, printed.splitlines())) <= 80
    assert {"f", "g", "knn"} <= set(table.split())


def test_probing_with_images_without_a_label(run, images, trained, tmp_path):
    files = sorted(images.glob("*/*.png"))
    labels = [-1 if i % 8 == 0 else i % 2 for i in range(len(files))]
    lines = [f"{file},{label}" for file, label in zip(files, labels, strict=True)]
    listed, split = tmp_path / "images.csv", tmp_path / "split.json"
    listed.write_text("\n".join(["filename,label", *lines]))
    MemorizationSplit(len(files), shared=range(30), external=range(30, 40)).save(split)
    arguments = [
        "probe",
        listed,
        *OWN,
        "--input-size",
        32,
        "--checkpoint",
        trained / "f.ckpt",
    ]
    code, out, err = run(*arguments, "--split", split, "--out", tmp_path / "probe")
    assert (code, err) == (0, "")
    assert "The probe left out 5 images without a label." in " ".join(out.split())
    settings = load_result(tmp_path / "probe").settings
    assert [settings[name] for name in ("train", "test", "unlabelled")] == [26, 9, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("layer-mem", "nowhere"), "There is no folder nowhere"),
        (("layer-mem", "RUN", "--split", "SPLIT"), "made for another data set of 40"),
        (("unit-mem", "RUN", "--split", "SPLIT"), "made for another data set of 40"),
        (("unit-mem", "RUN", "--layers", "bogus"), "matches 'bogus'"),
        (("unit-mem", "RUN", "--device", "abacus"), "device 'abacus'"),
        (("unit-mem", "digits", "--model", "tests.cli.encoder:make"), "--checkpoint"),
        (("unit-mem", "RUN", "--resume"), "Nothing to resume"),
        (
            ("unit-mem", "digits", *OWN, "--checkpoint", "RUN/f.ckpt", "--resume"),
            "--resume needs --out",
        ),
        (
            (
                *("unit-mem", "digits", *OWN),
                *("--checkpoint", "RUN/f.ckpt", "--reference", "RUN/f.ckpt"),
            ),
            "unit-mem --reference needs to know which images",
        ),
        (("measure", "magic", "RUN"), "Expected one of class_mem, layer_mem, unit_mem"),
        (
            ("layer-mem", "RUNS"),
            "is a folder of runs. Measure all of them with ssl-mem",
        ),
    ],
)
def test_errors(refused, trained, several, other_split, arguments, message):
    places = {"RUN": trained, "RUN/f.ckpt": trained / "f.ckpt", "SPLIT": other_split}
    refused(arguments, message, places | {"RUNS": several})
