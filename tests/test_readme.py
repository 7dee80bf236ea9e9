import io
import re
import types
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from rich.console import Console
from torch.utils.data import DataLoader, Subset

import lightly_memloc as memloc
from lightly_memloc import MemorizationSplit, load_result
from lightly_memloc.cli.app import app
from lightly_memloc.data import Digits
from lightly_memloc.report import report_of
from tests.evaluators.trainings import SimCLR

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_is_that_of_the_committed_result():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(
        report_of(load_result(ROOT / "docs/results/demo/layer-mem")).tables()[0]
    )
    printed = console.export_text()
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    assert len(lines) == 11
    assert "\n".join(lines) in README


def test_the_committed_result_shows_what_the_readme_says():
    result = load_result(ROOT / "docs/results/demo/layer-mem")
    last_convolution = result.to_pandas().set_index("layer").loc["layer3.residual"]
    assert last_convolution["symmetric"] > 0
    assert last_convolution["symmetric_p"] < 0.01
    control = result.control_to_pandas().set_index("layer").loc["layer3.residual"]
    assert control["symmetric_p"] > 0.05


def test_the_python_lines_run(encoders, digits, transform):
    code, _ = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    # The README's numbers are for a real data set; few images show that it runs.
    small = code.replace("len(dataset), candidate=200", "len(dataset), candidate=20")
    small = small.replace(
        "independent=200, external=200", "independent=20, external=20"
    )
    f, g = (types.SimpleNamespace(backbone=encoder) for encoder in encoders)
    torch.manual_seed(0)
    names = {"f": f, "g": g, "dataset": digits, "transform": transform}
    exec(small, names)
    assert isinstance(names["split"], MemorizationSplit)
    assert names["result"].top_samples(10)["ssl_mem"].is_monotonic_decreasing
    assert np.isfinite(names["units"].layers_to_pandas()["member_share"]).all()


def test_the_callbacks_run(digits, transform, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, code = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    views = Digits(lambda image: [transform(image), transform(image)])
    names = {
        "memloc": memloc,
        "Trainer": pl.Trainer,
        "dataset": digits,
        "transform": transform,
        "split": memloc.MemorizationSplit.random(len(digits), 20, external=20),
        "model": SimCLR(),
        "dataloader": DataLoader(Subset(views, range(20, 40)), batch_size=10),
    }
    exec(code.replace("max_epochs=100", "max_epochs=1"), names)
    assert names["memorization"].history[0].has_holdout
    assert names["online"].results[0].settings["images"] == 20


def test_the_commands_exist():
    known = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in app.registered_commands
    }
    fences = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    blocks = "".join(block for language, block in fences if not language)
    used = re.findall(r"^lightly-memloc ([a-z-]+)", blocks, flags=re.MULTILINE)
    assert len(used) >= 7
    assert set(used) <= known


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)h][^)]*)\)", README))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()
