import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import fingerprint, open_dataset
from lightly_memloc.errors import DivergedError, MemorizationError
from lightly_memloc.training import Run, TrainingConfig
from lightly_memloc.training.methods.joint_embedding import SimCLR
from lightly_memloc.training.run import provenance


@pytest.fixture(scope="module")
def split():
    return MemorizationSplit.random(1797, 8, 8, 8, exclude=range(32, 1797))


@pytest.fixture(scope="module")
def run(config, split, tmp_path_factory):
    return Run.train(tmp_path_factory.mktemp("runs") / "run", "digits", split, config)


def test_a_run_tells_what_is_needed_to_repeat_it(run, config, split):
    document = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert document["data"] == {
        "source": "digits",
        "images": 1797,
        "fingerprint": fingerprint(open_dataset("digits")),
    }
    assert TrainingConfig(**document["training"]) == config
    assert document["versions"]["lightly-memloc"] == "0.2.0.dev0"
    assert {"python", "torch", "lightly"} < set(document["versions"])
    loaded = Run(run.folder)
    assert (loaded.config, loaded.data) == (config, "digits")
    assert loaded.split.candidate.tolist() == split.candidate.tolist()
    assert loaded.split.fingerprint == document["data"]["fingerprint"]
    assert loaded.losses().shape == (1, 2)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def test_the_git_revision_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert "git" not in provenance()
    git(tmp_path, "init", "--quiet")
    (tmp_path / "script.py").write_text("1")
    git(tmp_path, "add", "script.py")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    head = (tmp_path / ".git" / "HEAD").read_text().split()[-1]
    revision = (tmp_path / ".git" / head).read_text().strip()
    assert provenance()["git"] == {"revision": revision, "modified": False}
    (tmp_path / "script.py").write_text("2")
    assert provenance()["git"] == {"revision": revision, "modified": True}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git" not in provenance()


def test_a_trained_run_stays_as_it_is(run, split, config):
    before = {path: path.stat().st_mtime_ns for path in run.folder.iterdir()}
    again = Run.train(run.folder, "digits", split, replace(config, num_workers=1))
    assert again.is_trained
    assert {path: path.stat().st_mtime_ns for path in run.folder.iterdir()} == before


def test_another_run_is_not_overwritten(run, split, config):
    with pytest.raises(
        MemorizationError, match=r"epochs is 1 there and 2 here\. Choose another"
    ):
        Run.train(run.folder, "digits", split, replace(config, epochs=2))
    other = MemorizationSplit.random(1797, 9, 8, 8, exclude=range(33, 1797))
    with pytest.raises(MemorizationError, match="the split differs"):
        Run.train(run.folder, "digits", other, config)


def test_a_split_is_made_if_there_is_none(tmp_path, config):
    few = tmp_path / "images"
    for number in range(40):
        path = few / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
    made = Run.train(tmp_path / "run", str(few), config=config).split
    sizes = len(made.candidate), len(made.independent), len(made.external)
    assert sizes == (4, 4, 4)
    targets = np.array(open_dataset(few).get_filenames())
    assert sum(name.startswith("1") for name in targets[made.candidate]) == 2
    assert sum(name.startswith("1") for name in targets[made.trained_f]) == 16


def test_a_run_whose_images_changed_is_refused(tmp_path, config):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number:02d}.png")
    split = MemorizationSplit.random(12, 2, 2, 2)
    run = Run.train(tmp_path / "run", str(folder), split, replace(config, batch_size=4))
    assert len(run.dataset()) == 12
    Image.new("RGB", (16, 16), (99, 0, 0)).save(folder / "03.png")
    with pytest.raises(MemorizationError, match="made for another data set of 12"):
        run.dataset()
    with pytest.raises(MemorizationError, match="the images differ"):
        Run.train(tmp_path / "run", str(folder), split, replace(config, batch_size=4))


@pytest.mark.parametrize("content", ["a: [", "training: {}", "[]"])
def test_other_files_are_no_run(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(MemorizationError, match="contains no training settings"):
        Run(tmp_path)


def diverging(monkeypatch, epoch=0):
    """Make a training's loss NaN in an epoch."""
    step = SimCLR.training_step

    def training_step(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        return loss * float("nan") if self.current_epoch == epoch else loss

    monkeypatch.setattr(SimCLR, "training_step", training_step)


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_training_that_diverges_says_when_and_marks_the_run(
    tmp_path, config, split, monkeypatch, epoch
):
    config = replace(config, epochs=3)
    with monkeypatch.context() as patch:
        diverging(patch, epoch)
        with pytest.raises(
            DivergedError, match=rf"f .* diverged in epoch {epoch + 1}: "
        ):
            Run.train(tmp_path, "digits", split, config)
    # Without another word, also where the training would not diverge now.
    with pytest.raises(DivergedError, match=rf"in epoch {epoch + 1}: .* learning rate"):
        Run.train(tmp_path, "digits", split, config)
    for name in "fg":
        with pytest.raises(DivergedError, match="cannot be used"):
            Run(tmp_path).encoder(name)
    assert not (tmp_path / "f.ckpt").exists()


def test_weights_that_are_not_finite_are_a_divergence(
    tmp_path, config, split, monkeypatch
):
    def on_before_optimizer_step(self, optimizer):
        next(self.parameters()).grad[:] = float("inf")

    monkeypatch.setattr(SimCLR, "on_before_optimizer_step", on_before_optimizer_step)
    with pytest.raises(DivergedError, match="in epoch 1"):
        Run.train(tmp_path, "digits", split, replace(config, batch_size=16))


RANKS = [
    {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
    {"LOCAL_RANK": "3"},
    {
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1",
        "SLURM_NTASKS": "4",
        "SLURM_NTASKS_PER_NODE": "4",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "n1",
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "sweep",
    },
    {"SLURM_NTASKS": "2", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "bash"},
    {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"},
    {"JSM_NAMESPACE_RANK": "2", "JSM_NAMESPACE_SIZE": "4"},
    {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"},
]


@pytest.mark.parametrize("environment", RANKS, ids=lambda of: next(iter(of)))
def test_a_training_on_one_device_is_whole_whatever_its_rank_in_a_job(
    tmp_path, config, split, run, monkeypatch, environment
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Lightning reads the rank when it is imported.
    rank = next((of for name, of in environment.items() if name.endswith("RANK")), "1")
    monkeypatch.setattr(rank_zero_only, "rank", int(rank))
    trained = Run.train(tmp_path, "digits", split, config)
    assert trained.is_trained
    expected = run.encoder("f").state_dict()
    for name, value in trained.encoder("f").state_dict().items():
        assert torch.equal(value, expected[name])
    assert trained.losses().equals(run.losses())
