import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
from rich.console import Console
from torch.utils.data import DataLoader, Subset

import lightly_memloc as memloc
from lightly_memloc.cli.app import app
from lightly_memloc.data import Digits
from lightly_memloc.report import result_tables
from lightly_memloc.results import SSLMemRunsResult
from lightly_memloc.training import TrainingConfig
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
        "TrainingConfig": TrainingConfig,
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


RUNS = DOCS / "results" / "runs"


def committed_runs(name):
    layers, runs = (pd.read_csv(RUNS / name / f"{t}.csv") for t in ("layers", "runs"))
    columns = ["index", "filename", "layer", "runs", "ssl_mem"]
    return SSLMemRunsResult(
        {"runs": sorted(set(runs["run"]))},
        {"layers": layers, "runs": runs, "samples": pd.DataFrame(columns=columns)},
    )


def test_the_page_of_pairs_shows_the_committed_runs():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result_tables(committed_runs("digits"))[0])
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert "\n".join(line for line in lines if line) in (DOCS / "pairs.md").read_text()


def test_the_committed_runs_show_what_the_page_says():
    result = committed_runs("digits")
    last = result.to_pandas().iloc[-1]
    assert last["runs"] == 6
    assert last["ssl_mem_low"] > 0
    assert last["shuffled_low"] < 0 < last["shuffled_high"]
    by_run = result.runs_to_pandas().pivot(
        index="run", columns="layer", values="ssl_mem"
    )
    rising = ["layer2.conv", "layer3.head.conv", "layer3.residual.conv1"]
    steps = np.diff(by_run[[*rising, "layer3.residual"]].to_numpy(), axis=1)
    assert (steps > 0).all()
    layers = result.to_pandas()
    half = (layers["layer_mem_high"] - layers["layer_mem_low"]) / 2
    assert (half > layers["ssl_mem"].abs()).sum() > len(layers) / 2


def test_the_code_of_the_page_of_pairs_runs(names):
    (block,) = python_blocks(DOCS / "pairs.md")
    exec(block, names)
    assert names["result"].to_pandas()["calibrated"].notna().all()


def test_the_commands_of_the_page_of_pairs_exist():
    known = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in app.registered_commands
    }
    page = (DOCS / "pairs.md").read_text()
    used = re.findall(r"^lightly-memloc ([a-z-]+)", page, flags=re.MULTILINE)
    assert {"train", "layer-mem", "ssl-mem"} == set(used) <= known


def test_the_page_of_pairs_shows_what_shared_seeds_do():
    own, shared = (
        committed_runs(name).to_pandas().set_index("layer")
        for name in ("own-seeds", "shared-seeds")
    )
    page = (DOCS / "pairs.md").read_text()
    for layer in own.index:
        cells = [layer]
        for table in (own, shared):
            row = table.loc[layer]
            between_runs = row["offset_error"] * np.sqrt(row["runs"])
            cells += [f"{between_runs:.3f}", f"{row['ssl_mem']:+.3f}"]
            cells += [f"{row['ssl_mem_low']:+.3f} to {row['ssl_mem_high']:+.3f}"]
        assert f"| {' | '.join(cells)} |" in page
