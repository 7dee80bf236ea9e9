"""What one encoder shows, against what a trained pair shows of the same images.

    python -m tests.benchmarks.one_encoder --runs FOLDER [--cifar FOLDER] [--pairs 5]

Pairs of encoders are trained on digits and on images of CIFAR-10, in run folders that are
kept: an interrupted benchmark resumes. Each encoder f is measured alone, with covariates
and without, and with its pair. ``docs/results/one_encoder.csv`` has the z of each layer
and estimate: the estimate in units of its interval's half-width over 1.96.

``docs/results/one_encoder_covariates.csv`` has the mean z of the last third of layers by
what is regressed out.

Then images that no encoder was trained on are divided at random into members and held-out
images. ``docs/results/one_encoder_null.csv`` counts how often the gaps of such sets are
significant, with more and more covariates.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from rich.progress import track

import lightly_memloc as memloc
from lightly_memloc.data import MemorizationSplit, MultiViewDataset, open_dataset
from lightly_memloc.estimation.covariates import Covariates
from lightly_memloc.functional import adjusted_gap
from lightly_memloc.report.charts import along_depth
from lightly_memloc.report.style import BLUE, GREEN, GREY, ORANGE, set_labels
from lightly_memloc.results import LayerMemResult
from lightly_memloc.runtime import estimate_running_statistics, untrained_copy
from lightly_memloc.training import Run, TrainingConfig
from tests.benchmarks.calibration.page import markdown, page_with

RESULTS = Path(__file__).parents[2] / "docs/results"
SIZES = {"candidate": 200, "independent": 200}
N_SHARED = 100
SETTINGS: dict[str, dict[str, Any]] = {
    # Those of the demo.
    "digits": {"epochs": 80, "learning_rate": 2e-3},
    # Those of the paper's findings on two cores.
    "CIFAR-10": {
        "epochs": 150,
        "batch_size": 64,
        "learning_rate": 3e-3,
        "transform": {
            "min_scale": 0.5,
            "cj_prob": 0.0,
            "random_gray_scale": 0.0,
            "gaussian_blur": 0.0,
        },
    },
}
N_EXTERNAL = 600
ESTIMATES = {
    "alignment_gap": "alignment gap",
    "adjusted": "adjusted gap, auto",
    "adjusted_with_g": "adjusted gap, g as covariate",
    "calibrated": "calibrated LayerMem, pair",
    "symmetric": "symmetric LayerMem, pair",
}
# Random splits of unseen images, of each encoder; images of a set.
N_NULLS, N_SET = 100, 150
N_COPIES = 6


def pair_of(images: str, data: str, number: int, folder: Path) -> Run:
    """Train a pair, or open the one that was trained."""
    dataset = open_dataset(data)
    n = N_SHARED + sum(SIZES.values()) + N_EXTERNAL
    unused = np.random.default_rng(number).permutation(len(dataset))[n:]
    split = MemorizationSplit.of_dataset(
        dataset,
        **SIZES,
        external=N_EXTERNAL,
        seed=number,
        exclude=unused.tolist(),
    )
    config = TrainingConfig.for_data(
        data, backbone="resnet9-slim", seed=number, **SETTINGS[images]
    )
    return Run.train(folder / f"{images}-{number}", data, split, config)


def of_alone(run: Run, **options: Any) -> LayerMemResult:
    """Measure f alone."""
    return memloc.measure_layer_mem(
        run.encoder("f"), None, run.dataset(), run.split, run.transform(), **options
    )


def z_of(result: LayerMemResult, estimate: str) -> pd.Series:
    """The estimates of layers, in units of their intervals' half-width over 1.96."""
    layers = result.to_pandas()
    value, low, high = (
        np.arctanh(layers[f"{estimate}{end}"].clip(-1 + 1e-9, 1 - 1e-9))
        for end in ("", "_low", "_high")
    )
    return 2 * 1.96 * value / (high - low)


def measured(run: Run, number: int) -> tuple[pd.DataFrame, LayerMemResult]:
    """The z of each layer and estimate; and what f alone showed."""
    alone = of_alone(run, seed=number)
    pair = memloc.measure_layer_mem(
        run.encoder("f"),
        run.encoder("g"),
        run.dataset(),
        run.split,
        run.transform(),
        seed=number,
    )
    z = {
        "alignment_gap": z_of(alone, "alignment_gap"),
        "adjusted": z_of(alone, "adjusted_gap"),
        "adjusted_with_g": z_of(pair, "adjusted_gap"),
        "calibrated": z_of(pair, "calibrated"),
        "symmetric": z_of(pair, "symmetric"),
    }
    layers = alone.to_pandas()[["layer", "kind"]]
    return layers.assign(pair=number, **z), alone


def bought(run: Run, alone: LayerMemResult, number: int) -> dict[str, float]:
    """The mean z of the last third of layers, by what is regressed out."""
    f = run.encoder("f")
    copies = [untrained_copy(f, number, i) for i in range(2, 2 + N_COPIES)]
    views = MultiViewDataset(run.dataset(), run.transform(), 2, number)
    like = torch.cat([views[i][0] for i in run.split.external[:64]])
    for encoder in copies:
        estimate_running_statistics(encoder, torch.split(like, 16))
    more = of_alone(run, seed=number, covariates=copies)
    names = alone.to_pandas()["layer"].tolist()
    distances = alone.distances_to_pandas()
    of_copies = more.distances_to_pandas()
    sets = [np.flatnonzero(distances["role"] == of) for of in ("candidate", "external")]
    rows = np.concatenate(sets)
    covariates = Covariates.of_result(alone)
    assert covariates is not None
    auto = covariates.by_layer(rows)

    def logarithms(table: pd.DataFrame, encoders: list[str]) -> Any:
        columns = [[f"{encoder}:{name}" for name in names] for encoder in encoders]
        return np.stack([np.log(table[of].to_numpy()[rows]) for of in columns], axis=2)

    untrained = logarithms(distances, ["untrained_1", "untrained_2"])
    depths = np.repeat(untrained.reshape(len(rows), 1, -1), len(names), axis=1)
    further = logarithms(of_copies, [f"covariate_{i + 1}" for i in range(N_COPIES)])
    given = {
        "nothing": None,
        "pixels": auto[..., :5],
        "pixels and units of an untrained encoder": auto[..., :-2],
        "auto": auto,
        "auto, and the untrained encoders' other layers": np.concatenate(
            [auto, depths], axis=2
        ),
        "auto, and six more untrained encoders": np.concatenate(
            [auto, further], axis=2
        ),
    }
    values = distances[[f"f:{name}" for name in names]].to_numpy()
    last = slice(-(len(names) // 3), None)
    z = {}
    for name, of in given.items():
        gap = adjusted_gap(values[sets[0]], values[sets[1]], of, n_resamples=199)
        assert gap.error is not None
        z[name] = float((np.arctanh(gap.value) / gap.error)[last].mean())
    return z


def nulls(alone: LayerMemResult, seed: int) -> Iterator[dict[str, Any]]:
    """How often gaps of unseen images, divided at random, are significant."""
    covariates = Covariates.of_result(alone)
    assert covariates is not None
    names = [f"f:{name}" for name in alone.to_pandas()["layer"]]
    distances = alone.distances_to_pandas()
    external = np.flatnonzero(distances["role"] == "external")
    values = distances[names].to_numpy()
    rng = np.random.default_rng(seed)
    for _ in range(N_NULLS):
        rows = rng.permutation(external)[: 2 * N_SET]
        auto = covariates.by_layer(rows)
        more = rng.standard_normal((2 * N_SET, 2 * N_SET // 5 - auto.shape[2]))
        more = np.repeat(more[:, None], auto.shape[1], axis=1)
        for given in (None, auto[..., :5], auto, np.concatenate([auto, more], axis=2)):
            gap = adjusted_gap(
                values[rows[:N_SET]],
                values[rows[N_SET:]],
                given,
                n_resamples=199,
                seed=seed,
            )
            assert gap.p is not None
            assert gap.p_adjusted is not None
            yield {
                "covariates": 0 if given is None else given.shape[2],
                "layers": len(gap.p),
                "significant": int((gap.p <= 0.05).sum()),
                "any_adjusted": bool((gap.p_adjusted <= 0.05).any()),
            }


def draw(table: pd.DataFrame) -> Figure:
    """Draw the mean z of each layer over the pairs, for each data set."""
    sets = list(table.groupby("images", sort=False))
    figure = Figure(figsize=(5.6 * len(sets), 4.2), layout="constrained")
    styles = [(GREY, "o", "--"), (GREEN, "D", "-"), (GREEN, "s", ":")]
    styles += [(ORANGE, "s", "-"), (BLUE, "D", "-")]
    for axes, (images, of) in zip(
        figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True
    ):
        set_labels(axes, f"{images}, mean z over {of['pair'].nunique()} pairs", "z")
        means = of.groupby("layer", sort=False)[list(ESTIMATES)].mean().reset_index()
        along_depth(
            axes,
            means,
            [
                (*estimate, *style)
                for estimate, style in zip(ESTIMATES.items(), styles, strict=True)
            ],
        )
        axes.axhline(1.96, color="black", linewidth=0.8, linestyle="--")
    return figure


def main() -> None:
    """Train and measure the pairs, and write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--cifar", help="a folder of CIFAR-10's images")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sources = {"digits": "digits"} | (
        {"CIFAR-10": options.cifar} if options.cifar else {}
    )
    tables, counted, buys = [], [], []
    for number in range(1, options.pairs + 1):
        for images, data in sources.items():
            run = pair_of(images, data, number, options.runs)
            table, alone = measured(run, number)
            tables.append(table.assign(images=images))
            tried = pd.DataFrame(track(nulls(alone, number), f"{images}-{number}"))
            counted.append(tried.assign(images=images))
            of = bought(run, alone, number)
            buys.append({"images": images, "pair": number, **of})
            write(pd.concat(tables), pd.concat(counted), pd.DataFrame(buys))


def write(table: pd.DataFrame, tried: pd.DataFrame, buys: pd.DataFrame) -> None:
    """Write what is known so far."""
    by_set = buys.drop(columns="pair").groupby("images", sort=False).mean().T
    by_set.rename_axis("covariates").round(2).to_csv(
        RESULTS / "one_encoder_covariates.csv"
    )
    table = table.sort_values(
        ["images", "pair"], kind="stable", ascending=[False, True]
    )
    table = table[["images", "pair", "layer", "kind", *ESTIMATES]]
    table.round(3).to_csv(RESULTS / "one_encoder.csv", index=False)
    draw(table).savefig(RESULTS / "one_encoder.svg")
    by = tried.groupby(["images", "covariates"], sort=False)
    counts = by.agg(
        splits=("layers", "size"),
        tests=("layers", "sum"),
        significant=("significant", "sum"),
        any_adjusted=("any_adjusted", "sum"),
    ).reset_index()
    counts.to_csv(RESULTS / "one_encoder_null.csv", index=False)
    page = RESULTS / "one-encoder.md"
    page.write_text(with_tables(page.read_text()))


def with_tables(text: str) -> str:
    """Return the page with the tables of the results that were written."""
    table = pd.read_csv(RESULTS / "one_encoder.csv")
    means = table.groupby(["images", "layer"], sort=False)[list(ESTIMATES)].mean()
    power = means.round(1).rename(columns=ESTIMATES).reset_index()
    buys = pd.read_csv(RESULTS / "one_encoder_covariates.csv").round(1)
    counts = pd.read_csv(RESULTS / "one_encoder_null.csv")
    errors = counts[["images", "covariates", "splits"]].assign(
        significant=[f"{of:.1%}" for of in counts["significant"] / counts["tests"]],
        **{
            "any layer": [
                f"{of:.1%}" for of in counts["any_adjusted"] / counts["splits"]
            ]
        },
    )
    for name, of in (("power", power), ("covariates", buys), ("type I", errors)):
        text = page_with(text, name, markdown(of))
    return text


if __name__ == "__main__":
    main()
