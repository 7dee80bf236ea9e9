import subprocess
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import fingerprint, open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import Run, TrainingConfig
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
