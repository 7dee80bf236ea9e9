import multiprocessing
import os
import shlex
import signal
import sys
import time

import pytest
import torch

from lightly_memloc import load_result
from lightly_memloc.evaluators import UnitMemEvaluator
from lightly_memloc.report import Saved
from lightly_memloc.runtime import state_file
from tests.cli.commands import OWN, invoke, train, train_runs
from tests.cli.encoder import make

pytestmark = pytest.mark.slow

NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def _command(error, arguments):
    sys.stderr = open(error, "w", buffering=1)  # noqa: SIM115
    sys.exit(invoke(*arguments))


def interrupted(tmp_path, number, when, *arguments):
    """Exit code and standard error of a command that is sent a signal."""
    error = tmp_path / "stderr.txt"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_command, args=(error, arguments))
    process.start()
    until = time.monotonic() + 60
    while not when() and process.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join(timeout=60)
    process.kill()
    return process.exitcode, " ".join(error.read_text().split())


def resume(said):
    """Run the command that a message names."""
    command = shlex.split(said.partition("To resume: ")[2])
    assert command[0] == "lightly-memloc"
    return invoke(*command[1:])


@pytest.mark.parametrize("number", NUMBERS)
def test_an_interrupted_training_says_what_is_kept(tmp_path, images, number):
    out = tmp_path / "a run"
    arguments = [*train(images, out), "--epochs", 200]
    when = (out / "f.state.ckpt").exists
    code, said = interrupted(tmp_path, number, when, *arguments)
    assert code == 128 + number
    assert said.startswith(f"Interrupted. {out} keeps f up to epoch ")
    assert said.endswith(
        "To resume: " + shlex.join(map(str, ["lightly-memloc", *arguments]))
    )
    assert sorted(path.name for path in out.glob("*.ckpt")) == ["f.state.ckpt"]


def test_the_command_that_is_named_resumes_a_training(tmp_path, images):
    out = tmp_path / "run"
    arguments = [*train(images, out), "--epochs", 12]
    when = (out / "f.state.ckpt").exists
    code, said = interrupted(tmp_path, signal.SIGTERM, when, *arguments)
    assert code == 143
    assert resume(said) == 0
    assert (out / "losses.csv").read_text().count("\n") == 13


def test_interrupted_runs_count_those_that_are_trained(tmp_path, images):
    out = tmp_path / "runs"
    when = (out / "run-2" / "f.state.ckpt").exists
    arguments = [*train_runs(images, out, 3), "--epochs", 4]
    code, said = interrupted(tmp_path, signal.SIGTERM, when, *arguments)
    assert code == 143
    assert said.startswith(f"Interrupted. {out} keeps ")
    assert "trained encoders" in said


def test_nothing_is_kept_before_the_first_epoch(tmp_path, images):
    out = tmp_path / "run"
    when = (out / "config.yaml").exists
    arguments = [*train(images, out), "--epochs", 3, "--batch-size", 2]
    code, said = interrupted(tmp_path, signal.SIGTERM, when, *arguments)
    assert code == 143
    assert (
        said in ("Interrupted. Nothing was saved.",) or "keeps f up to epoch 1." in said
    )


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("rest", [0, 1e9])
def test_an_interrupted_measurement_resumes(
    tmp_path, trained, monkeypatch, number, rest
):
    """The state is written on the signal, however recent the last write was."""
    monkeypatch.setattr(state_file, "_REST", rest)
    started, step = tmp_path / "started", UnitMemEvaluator.measure

    def slow(self, batch, views):
        if self.layers and int(batch.indices[0]) > 4:
            started.touch()
            time.sleep(0.3)
        step(self, batch, views)

    out = tmp_path / "result"
    arguments = ["unit-mem", trained, "--views", 2, "--batch-size", 1, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr(UnitMemEvaluator, "measure", slow)
        code, said = interrupted(tmp_path, number, started.exists, *arguments)
    assert code == 128 + number
    assert said.startswith(f"Interrupted. {out}/state.pt keeps what was measured.")
    measured = {"result": 0, "whole": 0}

    def count(name):
        def counted(self, batch, views):
            measured[name] += 1
            step(self, batch, views)

        monkeypatch.setattr(UnitMemEvaluator, "measure", counted)

    count("result")
    assert resume(said) == 0
    count("whole")
    assert invoke(*arguments[:-1], tmp_path / "whole") == 0
    one, other = (load_result(tmp_path / name).to_pandas() for name in measured)
    assert one.equals(other)
    assert 0 < measured["result"] < measured["whole"] - 2


def test_a_measurement_without_a_folder_keeps_nothing(tmp_path, images, monkeypatch):
    started = tmp_path / "started"

    def slow(self, batch, views):
        started.touch()
        time.sleep(0.2)

    monkeypatch.setattr(UnitMemEvaluator, "measure", slow)
    checkpoint = tmp_path / "f.ckpt"
    torch.save(make().state_dict(), checkpoint)
    arguments = [
        "unit-mem",
        images,
        *OWN,
        "--checkpoint",
        checkpoint,
        "--batch-size",
        1,
    ]
    code, said = interrupted(tmp_path, signal.SIGTERM, started.exists, *arguments)
    assert (code, said) == (143, "Interrupted. Nothing was saved.")


def test_a_command_that_reads_is_interrupted_at_once(tmp_path, trained, monkeypatch):
    started = tmp_path / "started"

    def slow(*arguments, **options):
        started.touch()
        time.sleep(60)

    monkeypatch.setattr(Saved, "read", slow)
    before = time.monotonic()
    code, said = interrupted(tmp_path, signal.SIGINT, started.exists, "report", trained)
    assert (code, said) == (130, "Interrupted. Nothing was saved.")
    assert time.monotonic() - before < 50


def test_handlers_are_restored():
    before = [signal.getsignal(number) for number in NUMBERS]
    invoke("--version")
    assert [signal.getsignal(number) for number in NUMBERS] == before
