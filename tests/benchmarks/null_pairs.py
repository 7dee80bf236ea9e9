"""How often a measurement of encoders that memorised nothing claims something.

    python -m tests.benchmarks.null_pairs [--repetitions 40] [--cifar ZIP] [--workers 2]

Each repetition measures a pair of untrained encoders on a random split, or a trained pair
whose images have shuffled roles. LayerMem, UnitMem with a reference encoder, membership
inference and the list of memorised images are measured and reported. What counts is
whether the sentences or the list claim that something was memorised. With their true
roles, the images of the trained pair show that the sentences can claim something. The
counts are written to ``docs/results/null_pairs.csv`` and to ``calibration.md`` beside it.
"""

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track

import lightly_memloc as memloc
from lightly_memloc.data import Study, open_dataset
from lightly_memloc.estimation import infer_membership
from lightly_memloc.evaluators import UnitMemEvaluator
from lightly_memloc.interventions import curate
from lightly_memloc.report import report_of
from lightly_memloc.training import (
    Run,
    TrainingConfig,
    make_backbone,
    make_transform,
)
from tests.benchmarks.calibration.page import markdown, page_with

RESULTS = Path(__file__).parents[2] / "docs/results"
SIZES = {"candidate": 60, "independent": 60, "external": 120}
TRUE_ROLES = "trained, true roles"
# What the sentences begin with, or contain, where nothing was found.
NOTHING = {
    "layer-mem": "No layer shows memorisation",
    "unit-mem": "Members do not win more units than expected by chance",
    "membership": "no layer separates members",
}


def claims(pair: Any, dataset: Any, split: Any, transform: Any, seed: int) -> dict:
    """Measure a pair, and tell for each result whether it claims anything."""
    study = Study(dataset, transform, split, n_views=4, seed=seed)
    f, g = pair
    layer_mem = memloc.measure_layer_mem(
        f, g, dataset, split, transform, n_views=4, seed=seed
    )
    unit_mem = UnitMemEvaluator(f, study, g).run(progress=False)
    membership = infer_membership(layer_mem)
    scores = membership.to_pandas()["score"].nunique()
    said = {
        result.kind: report_of(result).words()
        for result in (layer_mem, unit_mem, membership)
    }
    found = {
        kind: words.count(NOTHING[kind]) < (scores if kind == "membership" else 1)
        for kind, words in said.items()
    }
    return found | {"list of images": len(curate(layer_mem).to_pandas()) > 0}


def repetition(
    seed: int, images: str, condition: str, trained: str
) -> list[dict[str, Any]]:
    """Return one row per result of a repetition."""
    torch.set_num_threads(1)
    dataset = open_dataset(images)
    config = TrainingConfig.for_data(images, backbone="resnet9-slim")
    if condition == "untrained":
        split = memloc.MemorizationSplit.of_dataset(dataset, **SIZES, seed=seed)
        torch.manual_seed(seed)
        pair = [make_backbone(config.backbone, config.input_size) for _ in range(2)]
        transform = make_transform(config)
    else:
        run = Run(trained)
        split = run.split if condition == TRUE_ROLES else shuffled(run.split, seed)
        pair, transform = [run.encoder("f"), run.encoder("g")], run.transform()
    pair = [encoder.eval() for encoder in pair]
    found = claims(pair, dataset, split, transform, seed)
    return [
        {
            "images": Path(images).name,
            "encoders": condition,
            "result": kind,
            "claims": of,
        }
        for kind, of in found.items()
    ]


def shuffled(split: Any, seed: int) -> Any:
    """A split of the images of the three roles, drawn again within classes."""
    roles = ("candidate", "independent", "external")
    measured = np.concatenate([getattr(split, role) for role in roles])
    rest = np.setdiff1d(np.arange(split.n), measured)
    return memloc.MemorizationSplit.random(
        split.n,
        **{role: len(getattr(split, role)) for role in roles},
        seed=seed,
        exclude=rest.tolist(),
        targets=split.strata,
    )


def train(images: str, folder: str) -> None:
    """Train a pair of encoders on few images."""
    config = TrainingConfig.for_data(images, backbone="resnet9-slim", epochs=100)
    dataset = open_dataset(images)
    drawn = np.random.default_rng(0).permutation(len(dataset))
    unused = drawn[60 + sum(SIZES.values()) :].tolist()
    split = memloc.MemorizationSplit.of_dataset(dataset, **SIZES, exclude=unused)
    Run.train(folder, images, split, config)


def main() -> None:
    """Measure the pairs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--cifar", type=Path, help="a folder of CIFAR-10's images")
    options = parser.parse_args()
    sources = ["digits"] + ([str(options.cifar)] if options.cifar else [])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for images in sources:
            run = str(Path(folder) / Path(images).name)
            train(images, run)
            for condition in ("untrained", "trained, shuffled roles", TRUE_ROLES):
                n = 5 if condition == TRUE_ROLES else options.repetitions
                call = partial(
                    repetition, images=images, condition=condition, trained=run
                )
                with ProcessPoolExecutor(options.workers) as pool:
                    done = pool.map(call, range(n))
                    title = f"{Path(images).name}, {condition}"
                    for of in track(done, title, n):
                        rows += of
    table = pd.DataFrame(rows).groupby(["images", "encoders", "result"], sort=False)
    table = table["claims"].agg(repetitions="size", claims="sum").reset_index()
    table.to_csv(RESULTS / "null_pairs.csv", index=False)
    page = RESULTS / "calibration.md"
    page.write_text(page_with(page.read_text(), "null pairs", markdown(table)))
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
