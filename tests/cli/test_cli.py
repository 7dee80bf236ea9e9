import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lightly_memloc import MemorizationSplit, load_result
from lightly_memloc.cli import app
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import Evaluator


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
    assert max(map(len, out.splitlines())) <= 80
    assert (trained / command / "result.json").is_file()
    assert (trained / command / "layers.csv").is_file()


def test_report_prints_the_same_again(run, trained):
    _, first, _ = run("layer-mem", trained, "--views", 2)
    code, out, _ = run("report", trained / "layer-mem")
    assert code == 0
    assert out.strip() in first
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


def test_training_followed_by_callbacks(run, images, tmp_path):
    arguments = ["train", images, "--out", tmp_path / "run", "--epochs", 2]
    arguments += ["--backbone", "resnet9-slim", "--input-size", 16, *SIZES]
    arguments += ["--batch-size", 8, "--callback", "memorization"]
    code, _, err = run(*arguments, "--callback", "online_unit_mem")
    assert code == 0, err
    for name in "fg":
        folder = tmp_path / "run" / "training" / name
        measured = load_result(folder / "memorization" / "epoch=1" / "unit_mem")
        assert measured.layers_to_pandas()["member_share"].notna().all()
        for epoch in range(2):
            online = load_result(folder / "online_unit_mem" / f"epoch={epoch}")
            assert online.settings["images"] == 24
            assert online.to_pandas()["filename"].str.endswith(".png").all()


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
        (("layer-mem", "nowhere"), "nowhere is no run folder"),
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
        (("train", "digits", "--out", "x", "--device", "abacus"), "Lightning refuses"),
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
