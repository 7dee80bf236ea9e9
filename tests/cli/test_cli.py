import itertools
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from lightly_memloc import MemorizationSplit, load_result
from lightly_memloc.cli import app
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import EVALUATORS, Evaluator, UnitMemEvaluator
from lightly_memloc.results import Result


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process: exit code, standard output and error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lightly-memloc", *map(str, arguments)])
        code = 0
        try:
            app.main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def wrapped(out):
    """The lines of an output that are not commands to copy, which stay whole."""
    return [line for line in out.splitlines() if not line.startswith("As a page: ")]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(40):
        label = folder / f"class{number % 2}"
        label.mkdir(exist_ok=True)
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(label / f"{number:02d}.png")
    return folder


OWN = ("--model", "tests.cli.encoder:make")
SIZES = ("--candidate", 8, "--independent", 8, "--external", 8)


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["train", images, "--out", folder, "--epochs", 1, "--batch-size", 8]
    arguments += ["--backbone", "resnet9-slim", "--input-size", 16, *SIZES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lightly-memloc", *map(str, arguments)])
        with pytest.raises(SystemExit, match="0"):
            app.main()
    return folder


def test_train_writes_a_run_folder(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "split.json", "f.ckpt", "g.ckpt", "losses.csv"} <= names
    split = MemorizationSplit.load(trained / "split.json")
    assert (len(split.shared), len(split.candidate)) == (16, 8)
    for name in ("f.ckpt", "g.ckpt"):
        torch.load(trained / name, weights_only=True)


@pytest.mark.parametrize("command", ["layer-mem", "unit-mem", "class-mem"])
def test_measuring_a_run_needs_nothing_else(run, trained, command):
    code, out, err = run(command, trained, "--views", 2)
    assert (code, err) == (0, "")
    assert "layer3.residual" in out
    assert max(map(len, wrapped(out))) <= 80
    assert (trained / command / "result.json").is_file()
    assert (trained / command / "layers.csv").is_file()


def test_report_prints_the_same_again(run, trained):
    _, first, _ = run("layer-mem", trained, "--views", 2)
    code, out, _ = run("report", trained / "layer-mem")
    assert code == 0
    assert first.split("Tables, JSON")[0].strip() in out
    page = trained / "layer-mem" / "report.html"
    assert page.is_file()
    assert str(page) in out.replace("\n", "")
    code, out, _ = run("report", trained, "--json")
    assert "layer-mem" in json.loads(out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("layer-mem", "RUN", "--views", 2),
        ("unit-mem", "RUN", "--views", 2),
        ("class-mem", "RUN", "--views", 2),
        ("layers", "RUN"),
        ("split", "digits", "--out", "OUT"),
    ],
)
def test_json_is_all_that_is_printed(run, trained, tmp_path, arguments):
    places = {"RUN": trained, "OUT": tmp_path / "split.json"}
    code, out, _ = run(*(places.get(a, a) for a in arguments), "--json")
    assert code == 0
    json.loads(out)


@pytest.mark.parametrize("command", ["layer-mem", "unit-mem", "class-mem"])
def test_an_interrupted_measurement_is_resumed(
    run, trained, tmp_path, monkeypatch, command
):
    arguments = [command, trained, "--views", 2, "--batch-size", 2, "--json"]
    _, expected, _ = run(*arguments, "--out", tmp_path / "whole")
    measured = []
    keep = Evaluator.validation_step

    def interrupted(self, batch, batch_idx):
        measured.append(batch_idx)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return keep(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "validation_step", interrupted)
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


def test_training_followed_by_callbacks(run, images, tmp_path):
    arguments = ["train", images, "--out", tmp_path / "run", "--epochs", 2]
    arguments += ["--backbone", "resnet9-slim", "--input-size", 16, *SIZES]
    arguments += ["--batch-size", 8, "--callback", "memorization"]
    code, _, err = run(*arguments, "--callback", "online_unit_mem")
    assert code == 0, err
    for name in "fg":
        folder = tmp_path / "run" / "training" / name
        measured = load_result(folder / "memorization" / "epoch=1" / "unit-mem")
        assert measured.layers_to_pandas()["member_share"].notna().all()
        for epoch in range(2):
            online = load_result(folder / "online_unit_mem" / f"epoch={epoch}")
            assert online.settings["images"] == 24
            assert online.to_pandas()["filename"].str.endswith(".png").all()
        for callback in ("memorization", "online_unit_mem"):
            figure = (folder / callback / "unit_mem.svg").read_text()
            assert figure.count("<svg") == 1
            with Image.open(folder / callback / "unit_mem.png") as picture:
                assert picture.width == 810


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_is_wrapped_for_the_terminal_alone(run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = run("demo", "--help")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("Splits the emb"))
    paragraph = lines[start : lines.index("", start)]
    words = " ".join(paragraph).split()
    for line, following in itertools.pairwise(paragraph):
        assert len(line) + 1 + len(following.split()[0]) > width - 2
    assert words[-6:] == ["is", "measured", "again,", "not", "trained", "again."]


def test_layers_lists_names_and_kinds(run):
    code, out, _ = run("layers", "--model", "torchvision.models:resnet18")
    assert code == 0
    assert "18 layers" in out
    assert "layer4.1.conv1" in out
    code, out, _ = run(
        "layers", "--model", "torchvision.models:vit_b_16", "--layers", "attention"
    )
    assert out.count("self_attention") == 12


def test_split_writes_roles(run, images, tmp_path):
    code, out, _ = run("split", images, "--out", tmp_path / "s.json", *SIZES)
    assert code == 0
    assert "16 shared, 8 candidate, 8 independent, 8 external" in out
    assert MemorizationSplit.load(tmp_path / "s.json").n == 40


def test_an_encoder_of_ones_own(run, images, trained, tmp_path):
    weights = torch.load(trained / "f.ckpt", weights_only=True)
    torch.save(weights, tmp_path / "mine.pt")
    split = trained / "split.json"
    arguments = [
        "--model",
        "tests.cli.encoder:make",
        "--checkpoint",
        tmp_path / "mine.pt",
    ]
    arguments += ["--input-size", 16, "--views", 2]
    code, out, err = run("layer-mem", images, *arguments, "--split", split, "--json")
    assert code == 0, err
    own = json.loads(out)["tables"]["layers"]
    rows = pd.DataFrame(own["rows"], columns=own["columns"])
    assert rows["alignment_gap"].notna().all()
    assert rows["layer_mem"].isna().all()
    code, out, _ = run("unit-mem", images, *arguments, "--out", tmp_path / "unit")
    assert code == 0
    assert (tmp_path / "unit" / "unit_mem.png").is_file()


def test_a_checkpoint_that_has_to_be_asked_for(run, images, trained, tmp_path):
    weights = torch.load(trained / "f.ckpt", weights_only=True)["state_dict"]
    torch.save(
        {
            f"{encoder}.{name}": value
            for encoder in ("one", "two")
            for name, value in weights.items()
            if name.startswith("backbone.")
        },
        tmp_path / "two.pt",
    )
    arguments = ["unit-mem", images, *OWN, "--checkpoint", tmp_path / "two.pt"]
    arguments += ["--input-size", 16, "--views", 2]
    code, _, err = run(*arguments)
    assert code == 2
    assert "--prefix" in err
    assert run(*arguments, "--prefix", "two.backbone.")[0] == 0


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_warnings_are_told_in_their_own_words(run, images, trained, tmp_path):
    weights = torch.load(trained / "f.ckpt", weights_only=True)["state_dict"]
    weights["backbone.extra"] = weights.pop("backbone.prep.conv.weight")
    torch.save(weights, tmp_path / "part.pt")
    arguments = ["unit-mem", images, *OWN, "--checkpoint", tmp_path / "part.pt"]
    arguments += ["--input-size", 16, "--views", 2, "--allow-partial"]
    code, _, err = run(*arguments)
    assert code == 0
    assert err.startswith("Warning: ")
    assert "Missing: prep.conv.weight. Unexpected: extra." in " ".join(err.split())
    assert ".py" not in err


def test_help_tells_the_defaults(run):
    code, out, _ = run("unit-mem", "--help")
    assert code == 0
    for default in ("[default: all]", "[default: found]", "[default: 10]"):
        assert default in " ".join(out.replace("│", " ").split())


def test_unreadable_images(run, images, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted(images.glob("*/*.png"))[:30]:
        (folder / path.name).write_bytes(path.read_bytes())
    broken = sorted(folder.iterdir())[3]
    broken.write_bytes(b"no image")
    out = tmp_path / "run"
    arguments = ["train", folder, "--out", out, "--epochs", 1, "--batch-size", 8]
    arguments += ["--backbone", "resnet9-slim", "--input-size", 16, "--candidate", 5]
    for workers in (0, 1):
        code, _, err = run(*arguments, "--seed", 1, "--num-workers", workers)
        assert code == 2
        assert err.startswith(f"Error: {broken.name}: ")
        assert "--skip-unreadable" in err
        assert "Traceback" not in err
    code, _, err = run(*arguments, "--skip-unreadable")
    assert code == 0
    assert f"Left out 1 unreadable images: {broken.name}" in err
    assert run("layer-mem", out, "--views", 2)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("layer-mem", "nowhere"), "There is no folder nowhere"),
        (("train", "nowhere", "--out", "x"), "nowhere is no folder"),
        (
            ("train", "digits", "--out", "RUN"),
            "RUN holds another run: backbone is resnet9-slim",
        ),
        (("train", "EMPTY", "--out", "x"), "EMPTY holds no images"),
        (("train", "ONE", "--out", "x"), "Cannot train on 1 images"),
        (("train", "IMAGES", "--out", "x", "--split", "SPLIT"), "made for another"),
        (("layer-mem", "RUN", "--split", "SPLIT"), "made for another data set of 40"),
        (("unit-mem", "RUN", "--split", "SPLIT"), "made for another data set of 40"),
        (
            ("train", "digits", "--out", "x", "--external", "1700"),
            "Cannot take 179 candidate, 179 independent, 1700 external images",
        ),
        (
            ("train", "digits", "--out", "x", "--method", "magic"),
            "choose one of barlow_twins",
        ),
        (
            ("train", "digits", "--out", "x", "--method", "simcrl"),
            "did you mean 'simclr'?",
        ),
        (
            ("train", "digits", "--out", "x", "--backbone", "no.such:thing"),
            "Cannot find the model 'no.such:thing'",
        ),
        (
            ("train", "digits", "--out", "x", "--backbone", "tests.cli.encoder:broken"),
            "failed with ZeroDivisionError",
        ),
        (("train", "digits", "--out", "x", "--backbone", "b"), "choose one of resnet9"),
        (("split", "digits", "--candidate", "2000"), "Cannot take 2000 candidate"),
        (("unit-mem", "RUN", "--layers", "bogus"), "matches 'bogus'"),
        (("train", "digits", "--out", "x", "--device", "abacus"), "device 'abacus'"),
        (("train", "digits", "--out", "x", "--strategy", "no"), "Lightning refuses"),
        (
            ("train", "digits", "--out", "x", "--devices", 2, "--strategy", "ddp_fork"),
            "trains in processes whose losses do not come back",
        ),
        (("split", "digits", "--out", "no/such/folder.json"), "no/such/folder.json"),
        (("unit-mem", "RUN", "--device", "abacus"), "device 'abacus'"),
        (("layers", "--model", "torchvision.models:resnet1"), "Cannot find the model"),
        (("layers", "--model", "json:dumps"), "json:dumps"),
        (("layers",), "either a run folder or --model"),
        (("unit-mem", "digits", "--model", "tests.cli.encoder:make"), "--checkpoint"),
        (("unit-mem", "RUN", "--resume"), "Nothing to resume"),
        (
            ("unit-mem", "digits", *OWN, "--checkpoint", "RUN/f.ckpt", "--resume"),
            "--resume needs --out",
        ),
        (("measure", "magic", "RUN"), "it has class_mem, layer_mem, unit_mem"),
        (("train", "digits", "--out", "x", "--callback", "magic"), "it has memoriz"),
        (("report", "nowhere"), "no folder nowhere"),
        (("report", "EMPTY"), "holds no saved result"),
    ],
)
def test_errors_end_with_2_and_no_traceback(
    run, images, trained, other_split, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    empty, one = tmp_path / "empty", tmp_path / "one"
    empty.mkdir()
    one.mkdir()
    Image.new("RGB", (16, 16)).save(one / "1.png")
    places = {"RUN": trained, "EMPTY": empty, "ONE": one, "IMAGES": images}
    places |= {"RUN/f.ckpt": trained / "f.ckpt", "SPLIT": other_split}
    arguments = [places.get(argument, argument) for argument in arguments]
    message = message.replace("RUN", str(trained)).replace("EMPTY", str(empty))
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    with pytest.raises((MemorizationError, OSError)):
        run("--debug", *arguments)


@pytest.fixture
def other_split(images, tmp_path):
    """Of as many images as the data set, which are others."""
    path = tmp_path / "split.json"
    n = len(list(images.glob("*/*.png")))
    MemorizationSplit.random(n, 8, 8, 8, fingerprint="0" * 16).save(path)
    return path


def test_demo_smoke_tells_the_whole_story(run, tmp_path):
    code, out, _ = run("demo", "--smoke", "--out", tmp_path / "demo")
    assert code == 0
    assert "The most memorised images" in out
    assert "between two halves of the external images" in " ".join(out.split())
    for name in (
        "config.yaml",
        "layer-mem/layer_mem.png",
        "layer-mem/samples.csv",
        "layer-mem/result.json",
        "unit-mem/unit_mem.png",
        "unit-mem/member_share.png",
    ):
        assert (tmp_path / "demo" / name).is_file()
    trained = (tmp_path / "demo" / "f.ckpt").stat().st_mtime_ns
    code, again, _ = run("demo", "--smoke", "--out", tmp_path / "demo")
    assert code == 0
    assert again == out
    assert (tmp_path / "demo" / "f.ckpt").stat().st_mtime_ns == trained


def test_version(run):
    assert run("--version")[1] == "lightly-memloc 0.1.0\n"


def train_runs(images, out, n_runs, *more):
    arguments = ["train", images, "--out", out, "--runs", n_runs, "--epochs", 1]
    arguments += ["--batch-size", 8, "--backbone", "resnet9-slim"]
    return [*arguments, "--input-size", 16, *SIZES, *more]


@pytest.fixture(scope="module")
def several(images, tmp_path_factory):
    """A folder of three runs. Tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("several") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        arguments = map(str, train_runs(images, folder, 3))
        patch.setattr(sys, "argv", ["lightly-memloc", *arguments])
        with pytest.raises(SystemExit, match="0"):
            app.main()
    return folder


MEASURE = ("--views", 2, "--layers", "pool", "--layers", "layer3.residual")


def test_train_several_runs(run, images, several, tmp_path):
    seen = set()
    for name in ("run-1", "run-2", "run-3"):
        split = MemorizationSplit.load(several / name / "split.json")
        assert (len(split.shared), len(split.candidate)) == (16, 8)
        seen.add(tuple(split.candidate))
        for encoder in ("f.ckpt", "g.ckpt"):
            torch.load(several / name / encoder, weights_only=True)
    assert len(seen) == 3
    # The runs are trained already.
    before = {path: path.stat().st_mtime_ns for path in several.glob("run-*/*")}
    code, out, err = run(*train_runs(images, several, 3))
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("Trained 3 pairs: saved to")
    assert out.splitlines()[-1] == f"Next: lightly-memloc ssl-mem {several}"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    out_folder = tmp_path / "runs"
    code, out, _ = run(*train_runs(images, out_folder, 2, "--json"))
    assert code == 0
    expected = [str(out_folder / "run-1"), str(out_folder / "run-2")]
    assert json.loads(out) == {"runs": expected}
    assert (out_folder / "run-1" / "f.ckpt").is_file()


def test_several_runs_train_on_every_image_that_is_not_external(run, images, tmp_path):
    arguments = train_runs(images, tmp_path / "runs", 2)
    start = arguments.index("--candidate")
    del arguments[start : start + len(SIZES)]
    assert run(*arguments)[0] == 0
    for name in ("run-1", "run-2"):
        split = MemorizationSplit.load(tmp_path / "runs" / name / "split.json")
        sizes = len(split.candidate), len(split.independent), len(split.external)
        assert (sizes, len(split.shared)) == ((18, 18, 4), 0)


def test_unreadable_images_have_no_role_in_any_run(run, images, tmp_path):
    folder = shutil.copytree(images, tmp_path / "images")
    broken = sorted(folder.glob("*/*.png"))[3]
    broken.write_bytes(b"no image")
    arguments = train_runs(folder, tmp_path / "runs", 2, "--skip-unreadable")
    code, _, err = run(*arguments)
    assert code == 0
    assert "Left out 1 unreadable images:" in err
    for path in (tmp_path / "runs").glob("*/split.json"):
        split = MemorizationSplit.load(path)
        roles = (split.shared, split.candidate, split.independent, split.external)
        with_role = set(np.concatenate(roles).tolist())
        assert set(range(40)) - with_role == {3}


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
        f"SSLMem of the last layer is {last['ssl_mem']:+.3f} in the mean of 3 runs (95% "
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
    document = load_result(runs / "ssl-mem").to_dict()
    assert json.loads(out) == {"ssl-mem": document}


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
    assert "in the mean of two runs. Two runs give no interval" in words
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
    steps, keep = [], Evaluator.validation_step

    def counted(self, batch, batch_idx):
        steps.append(batch_idx)
        # A run has 24 images, so this is in the second one.
        if len(steps) == 10 and interrupt:
            raise KeyboardInterrupt
        return keep(self, batch, batch_idx)

    monkeypatch.setattr(Evaluator, "validation_step", counted)
    interrupt = True
    code, out, _ = run(*arguments, "--out", tmp_path / "cut")
    assert (code, out) == (130, "")
    assert not (tmp_path / "cut" / "result.json").exists()
    interrupt = False
    steps.clear()
    code, out, _ = run(*arguments, "--out", tmp_path / "cut", "--resume")
    assert (code, out) == (0, expected)
    assert 6 < len(steps) <= 12
    steps.clear()
    code, out, _ = run(*arguments, "--out", tmp_path / "cut")
    assert (code, out) == (0, expected)
    assert len(steps) == 18


@pytest.mark.parametrize("other", [("--views", 3), ("--seed", 1)])
def test_ssl_mem_is_not_resumed_with_other_settings(run, several, tmp_path, other):
    arguments = ["ssl-mem", several, *MEASURE, "--out", tmp_path]
    assert run(*arguments)[0] == 0
    code, out, err = run(*arguments, *other, "--resume")
    assert (code, out) == (2, "")
    assert "holds another measurement" in err
    assert run(*arguments, *other)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("train", "IMAGES", "--out", "x", "--runs", 2, "--split", "SPLIT"),
            "--runs draws a split for each run: leave --split out",
        ),
        (("train", "IMAGES", "--out", "x", "--runs", 1), "'--runs'"),
        (("train", "IMAGES", "--out", "RUNS", "--runs", 3), "run-1 holds another run"),
        (("train", "nowhere", "--out", "x", "--runs", 2), "nowhere is no folder"),
        (("ssl-mem", "nowhere"), "nowhere is no folder of runs, as `lightly-memloc"),
        (("ssl-mem", "RUNS/run-1"), "run-1 is a single run: several are made with"),
        (("ssl-mem", "RUNS", "--layers", "bogus"), "matches 'bogus'"),
        (("layer-mem", "RUNS"), "is a folder of runs: measure all with ssl-mem"),
    ],
)
def test_errors_of_several_runs_end_with_2(
    run, images, several, other_split, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    runs = shutil.copytree(several, tmp_path / "runs")
    places = {"IMAGES": images, "SPLIT": other_split, "RUNS": runs}
    places["RUNS/run-1"] = runs / "run-1"
    code, out, err = run(*(places.get(argument, argument) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert not (tmp_path / "x").exists()


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_too_few_runs_that_can_be_measured(run, several, tmp_path):
    runs = shutil.copytree(several, tmp_path / "runs")
    shutil.rmtree(runs / "run-1")
    (runs / "run-2" / "f.ckpt").write_bytes(b"no checkpoint")
    code, out, err = run("ssl-mem", runs, *MEASURE)
    assert (code, out) == (2, "")
    error = err.split("Error: ")[1]
    assert error.startswith("Expected at least two runs, got 1. run-1: ")
    assert f"run-2: {runs / 'run-2' / 'f.ckpt'} is no checkpoint" in error


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (("probe", "RUN", "--probe", "knn"), {"f", "g"}),
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
            ("finetune", "RUN", "--data", "IMAGES", "--trials", 1, "--epochs", 1),
            {"most", "last", "random", "all", "head"},
        ),
    ],
)
def test_probing_and_intervening(run, images, trained, tmp_path, arguments, rows):
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


def test_membership_of_a_measured_run(run, trained):
    assert run("layer-mem", trained, "--views", 2)[0] == 0
    code, out, _ = run("membership", trained)
    assert code == 0
    assert "alignment of f alone" in out
    assert "by SSLMem" in out
    assert (trained / "membership" / "result.json").is_file()
    code, _, err = run("membership", trained / "membership")
    assert code == 2
    assert "holds no LayerMem, but membership" in err


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
    assert "There is nothing to compare" in err


def test_curating_several_runs(run, several, tmp_path):
    code, out, err = run(
        "curate", several, "--amount", 0.1, "--views", 2, "--out", tmp_path / "list"
    )
    assert (code, err) == (0, "")
    assert "candidate or" in out
    assert max(map(len, wrapped(out))) <= 80
    code, _, err = run("curate", several, "--retrain")
    assert code == 2
    assert "--retrain takes one of them, such as" in err


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


def test_analysing_what_was_measured(run, trained, tmp_path):
    for command in ("layer-mem", "unit-mem", "class-mem"):
        assert run(command, trained, "--views", 2)[0] == 0
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
    assert "measure layer-mem, or unit-mem and class-mem, first" in " ".join(
        err.split()
    )


def test_nothing_to_resume_over_runs(run, several, tmp_path):
    code, _, err = run("ssl-mem", several, "--out", tmp_path, "--resume")
    assert code == 2
    assert "Nothing to resume" in err


def test_mixed_precision(run, images, tmp_path, monkeypatch):
    bf16 = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: bf16, raising=False)
    arguments = ["train", images, "--out", tmp_path / "run", "--epochs", 1, *SIZES]
    arguments += ["--batch-size", 8, "--backbone", "resnet9-slim", "--input-size", 16]
    assert run(*arguments, "--amp")[0] == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    lacks_it = torch.cuda.is_available() and not torch.cuda.is_bf16_supported()
    expected = "16-mixed" if lacks_it else "bf16-mixed"
    assert config["training"]["precision"] == expected
    code, _, err = run(*arguments)
    assert code == 2
    assert f"precision is {expected} there and 32-true here" in err
