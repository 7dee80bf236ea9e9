import re
from pathlib import Path

import pandas as pd
import pytest
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Subset

import lightly_memloc as memloc
from lightly_memloc.data import Digits
from tests.evaluators.trainings import SimCLR

DOCS = Path(__file__).parents[1] / "docs"
README = DOCS.parent / "README.md"


@pytest.mark.parametrize(
    ("page", "results"),
    [
        ("cost.md", ["overhead.txt"]),
        ("training.md", ["online.txt", "online_agreement.txt"]),
    ],
)
def test_a_page_shows_the_committed_benchmarks(page, results):
    for result in results:
        printed = (DOCS / "results" / result).read_text()
        assert printed.strip("\n") in (DOCS / page).read_text()


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL)


@pytest.fixture
def names(digits, transform, tmp_path, monkeypatch):
    """What the pages' code takes for granted, small and on a quiet trainer."""
    monkeypatch.chdir(tmp_path)
    pl.seed_everything(0, verbose=False)
    for role, indices in (("train", range(20, 26)), ("val", range(6))):
        for index in indices:
            image, target, _ = digits[index]
            path = tmp_path / role / str(target) / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    model = SimCLR()

    def training_step(views):
        one, other = (model.projection_head(model.backbone(view)) for view in views)
        return model.criterion(one, other)

    views = Digits(lambda image: [transform(image), transform(image)])
    return {
        "memloc": memloc,
        "Trainer": pl.Trainer,
        "dataset": digits,
        "transform": transform,
        "split": memloc.MemorizationSplit.random(len(digits), 20, external=20),
        "members": range(20, 40),
        "holdout": range(10),
        "model": model,
        "encoder": model.backbone,
        "dataloader": DataLoader(Subset(views, range(20, 40)), batch_size=10),
        "training_step": training_step,
        "train_dir": tmp_path / "train",
        "val_dir": tmp_path / "val",
        "log_dir": tmp_path / "logs",
    }


def test_the_training_page_runs(names):
    blocks = python_blocks(DOCS / "training.md")
    assert len(blocks) == 6
    for block in blocks:
        exec(block, names)
    assert len(names["memorization"].history) == 2
    assert [result.settings["epoch"] for result in names["online"].results] == [0, 1]
    assert names["unit_mem"].settings["images"] == 20
    measured = names["evaluator"].result.to_pandas()
    pd.testing.assert_frame_equal(
        measured, names["result"].to_pandas(), rtol=1e-6, check_dtype=False
    )
    assert any(name.startswith("alignment_gap/") for name in names["metrics"])


def test_the_readmes_callbacks_run(names):
    _, block = python_blocks(README)
    exec(block.replace("max_epochs=100", "max_epochs=1"), names)
    assert names["memorization"].history[0].has_holdout
    assert names["online"].results[0].settings["images"] == 20
