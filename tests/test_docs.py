import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from scipy import stats
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

import lightly_memloc as memloc
from lightly_memloc.cli.app import app
from lightly_memloc.data import Digits
from lightly_memloc.interventions import select_units
from lightly_memloc.probes import ProbeTask, measure_probes
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
    columns += ["ssl_mem_low", "ssl_mem_high"]
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


INTERVENTIONS = DOCS / "results" / "interventions"
PAGE = (DOCS / "interventions.md").read_text()


def printed(result):
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    for table in result_tables(result):
        console.print(table)
        console.print()
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    return "\n".join(lines).split("\n\n")


@pytest.mark.parametrize("name", sorted(p.name for p in INTERVENTIONS.iterdir()))
def test_the_page_of_interventions_shows_the_committed_results(name):
    tables = printed(memloc.load_result(INTERVENTIONS / name))
    for table in tables:
        assert table.strip("\n") in PAGE


def between(name, first, second):
    """Points between two strategies, over runs, with interval."""
    result = memloc.load_result(INTERVENTIONS / name)
    by_run = result.trials_to_pandas().pivot(
        index="trial", columns="strategy", values="accuracy"
    )
    assert len(by_run) == 6
    test = stats.ttest_rel(by_run[first], by_run[second])
    return [
        100 * value
        for value in (
            (by_run[first] - by_run[second]).mean(),
            *test.confidence_interval(),
        )
    ]


def said(name, first, second, words):
    numbers = between(name, first, second)
    assert words.format(*(f"{number:.1f}" for number in numbers)) in " ".join(
        PAGE.split()
    )
    return numbers


def test_what_the_page_says_of_pruning_and_fine_tuning():
    said(
        "prune-0.5",
        "highest",
        "lowest",
        "is {} points below that without those of the highest (95% interval {} to {}, "
        "over six runs, paired)",
    )
    said("prune-0.8", "highest", "lowest", "with four fifths {} points ({} to {})")
    _, low, high = between("prune-0.2", "highest", "lowest")
    assert low < 0 < high
    said(
        "finetune-1",
        "most",
        "last",
        "beats tuning the last by {} points ({} to {}, six runs, paired)",
    )
    said("finetune-1", "most", "random", "does not beat tuning a random layer ({} poi")
    _, low, high = between("finetune-2", "most", "last")
    assert low < 0 < high
    where = memloc.load_result(INTERVENTIONS / "finetune-2").trials_to_pandas()
    chosen = where.pivot(index="trial", columns="strategy", values="where")
    same = [
        set(a.split(", ")) == set(b.split(", "))
        for a, b in zip(chosen["most"], chosen["last"], strict=True)
    ]
    assert sum(same) == 3


def test_what_the_page_says_of_the_exchange_and_the_retraining():
    for name in ("exchange-1", "exchange-3"):
        summary = memloc.load_result(INTERVENTIONS / name).to_pandas()
        assert summary["change"].abs().max() < 2 / 179
    curated = memloc.load_result(INTERVENTIONS / "curate")
    layers, accuracies = curated.layers_to_pandas(), curated.accuracy_to_pandas()
    assert (layers["difference_p"] > 0.01).all()
    assert accuracies["accuracy"].nunique() == 2
    assert accuracies["high"].min() > accuracies["low"].max()


def test_what_the_page_says_of_tuned_units():
    result = memloc.load_result(INTERVENTIONS / "tune-unit")
    units, layers = result.to_pandas(), result.layers_to_pandas()
    assert (units["after"] > units["before"]).all()
    assert (layers["rise_low"] > 0).all()
    assert f"in {units['wins'].sum()} of {len(units)} units" in " ".join(PAGE.split())
    assert not units[units["layer"] == "prep.conv"]["wins"].any()
    assert result.settings["steps"] == 1600


def test_what_the_page_says_of_images_and_units():
    tables = memloc.load_result(INTERVENTIONS / "analysis").to_pandas()
    pairs = tables["consistency"].groupby("distance")[["tau", "external_tau"]].mean()
    assert pairs["tau"].loc[1] > 3 * pairs["tau"].loc[5:].max()
    assert (pairs["external_tau"] > pairs["tau"] - 0.02).all()
    assert (tables["atypical"]["difference_low"] > 0).all()
    assert (tables["atypical"]["external_difference"] > 0).all()
    won = tables["atypical_units"].set_index("layer").loc["all layers"]
    assert won["units_most"] < won["units_least"]
    assert (tables["units_won"]["tau"].iloc[1:] < 0).all()
    assert tables["unit_class"]["above"].iloc[-1] > 0.95


def test_the_code_of_the_page_of_interventions_runs(names):
    names |= {
        "select_units": select_units,
        "ProbeTask": ProbeTask,
        "measure_probes": measure_probes,
        "plain_transform": transforms.ToTensor(),
    }
    before = {k: v.clone() for k, v in names["encoder"].state_dict().items()}
    first, second = python_blocks(DOCS / "interventions.md")
    exec(first, names)
    assert names["units"]
    for entry, value in names["encoder"].state_dict().items():
        assert torch.equal(value, before[entry])
    exec(second, names)
    assert len(names["task"].test) == 360


def test_the_commands_of_the_pages_exist():
    known = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in app.registered_commands
    }
    used = {
        command
        for page in [README, *DOCS.glob("*.md")]
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), flags=re.DOTALL)
        for command in re.findall(
            r"^(?:.*; )?lightly-memloc ([a-z-]+)", block, flags=re.MULTILINE
        )
    }
    assert used <= known
    assert {"prune", "finetune", "exchange", "tune-unit", "curate", "analyze"} <= used


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
