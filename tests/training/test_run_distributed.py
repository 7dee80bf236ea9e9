"""Trainings on two devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightly_memloc.training import Run

ARGUMENTS = ["train", "digits", "--candidate", 12, "--independent", 12]
ARGUMENTS += ["--external", 1725, "--backbone", "resnet9-slim", "--epochs", 2]
ARGUMENTS += ["--batch-size", 8, "--device", "cpu", "--devices", 2, "--strategy", "ddp"]


def train(folder):
    script = Path(sys.executable).parent / "lightly-memloc"
    command = [str(part) for part in (script, *ARGUMENTS, "--out", folder)]
    environment = {k: v for k, v in os.environ.items() if "PYTEST" not in k}
    return subprocess.run(
        command,
        env=environment | {"OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_pair_trained_by_two_processes(tmp_path):
    told = train(tmp_path / "run")
    assert told.stdout.count("Trained f on 60 and g on 60 images") == 1
    # A slow machine may print the progress of a training.
    lines = told.stderr.splitlines()
    assert [line for line in lines if not line.startswith("Training ")] == []
    run = Run(tmp_path / "run")
    assert (run.config.devices, run.config.strategy) == (2, "ddp")
    losses = run.losses()
    assert (losses.iloc[-1] < losses.iloc[0]).all()
    f, g = (run.encoder(name).state_dict() for name in ("f", "g"))

    (run.folder / "losses.csv").unlink()
    (run.folder / "g.ckpt").unlink()
    trained = (run.folder / "f.ckpt").stat().st_mtime_ns
    train(tmp_path / "run")
    assert (run.folder / "f.ckpt").stat().st_mtime_ns == trained
    assert run.losses().equals(losses)
    for before, name in ((f, "f"), (g, "g")):
        after = run.encoder(name).state_dict()
        assert all(torch.equal(after[key], value) for key, value in before.items())
