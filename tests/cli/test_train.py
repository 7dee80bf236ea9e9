import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lightly_memloc import MemorizationSplit, load_result
from lightly_memloc.training.methods.joint_embedding import SimCLR
from tests.cli.commands import SIZES, train, train_runs


def test_train_writes_a_run_folder(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "split.json", "f.ckpt", "g.ckpt", "losses.csv"} <= names
    split = MemorizationSplit.load(trained / "split.json")
    assert (len(split.shared), len(split.candidate)) == (16, 8)
    for name in ("f.ckpt", "g.ckpt"):
        torch.load(trained / name, weights_only=True)


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
    assert f"Skipped 1 unreadable image: {broken.name}" in err
    assert run("layer-mem", out, "--views", 2)[0] == 0


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
    assert "Skipped 1 unreadable image:" in err
    for path in (tmp_path / "runs").glob("*/split.json"):
        split = MemorizationSplit.load(path)
        roles = (split.shared, split.candidate, split.independent, split.external)
        with_role = set(np.concatenate(roles).tolist())
        assert set(range(40)) - with_role == {3}


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere", "--out", "x"), "nowhere is not a folder"),
        (
            ("train", "digits", "--out", "RUN"),
            "RUN contains another run: backbone is resnet9-slim",
        ),
        (("train", "EMPTY", "--out", "x"), "EMPTY contains no images"),
        (("train", "ONE", "--out", "x"), "Cannot train on 1 images"),
        (("train", "IMAGES", "--out", "x", "--split", "SPLIT"), "made for another"),
        (
            ("train", "digits", "--out", "x", "--external", "1700"),
            "Cannot take 179 candidate, 179 independent, 1700 external images",
        ),
        (
            ("train", "digits", "--out", "x", "--method", "magic"),
            "choose from barlow_twins",
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
        (("train", "digits", "--out", "x", "--backbone", "b"), "choose from resnet9"),
        (("train", "digits", "--out", "x", "--device", "abacus"), "device 'abacus'"),
        (("train", "digits", "--out", "x", "--strategy", "no"), "Lightning refuses"),
        (
            ("train", "digits", "--out", "x", "--devices", 2, "--strategy", "ddp_fork"),
            "trains in processes that do not return their losses",
        ),
        (
            ("train", "digits", "--out", "x", "--callback", "magic"),
            "Expected one of memoriz",
        ),
    ],
)
def test_errors(refused, images, trained, other_split, tmp_path, arguments, message):
    empty, one = tmp_path / "empty", tmp_path / "one"
    empty.mkdir()
    one.mkdir()
    Image.new("RGB", (16, 16)).save(one / "1.png")
    places = {"RUN": trained, "EMPTY": empty, "ONE": one, "IMAGES": images}
    refused(arguments, message, places | {"SPLIT": other_split})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("train", "IMAGES", "--out", "x", "--runs", 2, "--split", "SPLIT"),
            "--runs draws a split for each run: omit --split",
        ),
        (
            ("train", "IMAGES", "--out", "RUNS", "--runs", 3),
            "run-1 contains another run",
        ),
        (("train", "nowhere", "--out", "x", "--runs", 2), "nowhere is not a folder"),
    ],
)
def test_errors_of_several_runs(
    refused, images, several, other_split, tmp_path, arguments, message
):
    runs = shutil.copytree(several, tmp_path / "runs")
    places = {"IMAGES": images, "SPLIT": other_split, "RUNS": runs}
    refused(arguments, message, places)
    assert not (tmp_path / "x").exists()


def test_a_single_run_is_not_several(run, images, tmp_path):
    code, out, err = run("train", images, "--out", tmp_path / "x", "--runs", 1)
    assert (code, out) == (2, "")
    assert "'--runs'" in err
    assert not (tmp_path / "x").exists()


def test_a_training_that_diverges_exits_with_1(run, images, tmp_path, monkeypatch):
    def training_step(self, batch, batch_idx):
        return sum(of.sum() for of in self.parameters()) * float("nan")

    monkeypatch.setattr(SimCLR, "training_step", training_step)
    code, out, err = run(*train(images, tmp_path / "run"))
    assert (code, out) == (1, "")
    assert "Training f (simclr) diverged in epoch 1: its mean loss was nan" in err
    for command in ("layer-mem", "unit-mem", "probe", "prune"):
        code, _, err = run(command, tmp_path / "run")
        assert code == 1
        assert "cannot be used: Training f (simclr) diverged in epoch 1" in err
