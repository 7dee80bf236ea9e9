"""Training again without the most memorised images."""

import shutil
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from lightly_memloc.data import MemorizationSplit
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import measure_layer_mem
from lightly_memloc.functional import Estimate, calibrated_layer_mem
from lightly_memloc.probes import ProbeTask, probe_named
from lightly_memloc.results import CurationResult, LayerMemResult
from lightly_memloc.runtime import replacing
from lightly_memloc.training import Run

Indices = NDArray[np.int64]

_NOTE = (
    "Intervals are over images, for these trainings: another training without the same "
    "images may differ."
)


def retrain_without(
    run: Run,
    curation: CurationResult,
    task: ProbeTask,
    folder: str | PathLike[str],
    probe: str = "logistic",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str = "auto",
) -> CurationResult:
    """Train a run's encoder f again without its most memorised images [0].

    And, for control, without as many random candidates. The reference encoder g stays,
    since it was trained on none of them. Compared are the accuracy of a probe, and
    calibrated LayerMem over the candidates that are left in both. (The original's
    LayerMem over those is low by selection: its highest scores are taken out. The two
    that were trained anew are compared with each other.)

    - [0]: The Privacy Onion Effect, 2022, https://arxiv.org/abs/2206.10469

    Args:
        run: The run, with external images.
        curation: Which of its candidates to leave out.
        task: The labelled images of the probe.
        folder: Where the runs ``without-memorized`` and ``without-random`` are written.
            Given again after an interruption, it is gone on with.
        probe: Name of the probe.
        n_views: Views per image for LayerMem.
        batch_size: Images per batch for LayerMem.
        num_workers: Worker processes that load images for LayerMem.
        seed: Seed of the views, the random candidates and the probe.
        device: ``"auto"`` or a torch device.

    Returns:
        The curation with ``layers_to_pandas()`` and ``accuracy_to_pandas()``.

    Raises:
        MemorizationError: If the images are no candidates of the run, it has fewer than
            two external images or two candidates would be left, the probe is unknown, or
            the folder holds other runs.
    """
    test, dataset, split = probe_named(probe), run.dataset(), run.split
    memorized = curation.to_pandas()["index"].to_numpy()
    rng = np.random.default_rng(seed)
    drawn = rng.choice(
        split.candidate, min(len(memorized), len(split.candidate)), False
    )
    common = np.setdiff1d(split.candidate, np.union1d(memorized, drawn))
    _refuse_unfit(run, memorized, common)
    encoders = {"original": run.encoder("f")}
    splits = {
        name: replace(split, candidate=np.setdiff1d(split.candidate, removed))
        for name, removed in (("memorized", memorized), ("random", drawn))
    }
    for name, left in splits.items():
        Run.refuse_other(Path(folder) / f"without-{name}", left, run.config)
    for name, left in splits.items():
        path = Path(folder) / f"without-{name}"
        encoders[f"without {name}"] = _retrained(run, left, path, device)
    measured = [
        measure_layer_mem(
            encoder,
            run.encoder("g"),
            dataset,
            split,
            run.transform(),
            n_views=n_views,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            device=device,
        )
        for encoder in encoders.values()
    ]
    accuracies = pd.DataFrame(
        [
            (name, *test(f, task, seed, device).columns("").values())
            for name, f in encoders.items()
        ],
        columns=["encoder", "accuracy", "low", "high"],
    )
    images = {
        "removed": len(memorized),
        "compared": len(common),
        "external": len(split.external),
    }
    return CurationResult(
        {**curation.settings, "images": images, "probe": probe, "notes": [_NOTE]},
        {
            **curation.tables,
            "layers": _layers(measured, memorized, common, split.external),
            "accuracy": accuracies,
            "random": pd.DataFrame({"index": np.sort(drawn)}),
        },
    )


def _refuse_unfit(run: Run, memorized: Indices, common: Indices) -> None:
    others = np.setdiff1d(memorized, run.split.candidate)
    if len(others):
        raise MemorizationError(
            f"Image {others[0]} and {len(others) - 1} more are no candidates of "
            f"{run.folder}: only what f alone was trained on can be left out."
        )
    if min(len(memorized), len(common), len(run.split.external)) < 2:
        raise MemorizationError(
            "Encoders are compared on candidates that are left in both, against external "
            f"images: expected at least two of each, got {len(common)} and "
            f"{len(run.split.external)}; and at least two to leave out, got "
            f"{len(memorized)}."
        )


def _retrained(
    run: Run, split: MemorizationSplit, folder: Path, device: str
) -> nn.Module:
    """Encoder f, trained in a run of its own without some candidates."""
    reference = folder / "g.ckpt"
    if not reference.is_file():
        with replacing(reference) as partial:
            shutil.copyfile(run.folder / "g.ckpt", partial)
    title = f"{folder.name}: training"
    retrained = Run.train(folder, run.data, split, run.config, device, title=title)
    return retrained.encoder("f")


def _layers(
    measured: list[LayerMemResult],
    memorized: Indices,
    common: Indices,
    external: Indices,
) -> pd.DataFrame:
    """A row a layer: calibrated LayerMem of the encoders, and what differs."""
    table = measured[0].to_pandas()[["layer", "kind"]]
    original, without_memorized, without_random = (
        result.samples_to_pandas().set_index("index")[table["layer"]]
        for result in measured
    )

    def calibrated(m: pd.DataFrame, images: Indices) -> Estimate:
        return calibrated_layer_mem(
            m.loc[images].to_numpy(), m.loc[external].to_numpy()
        )

    difference = calibrated(without_memorized - without_random, common)
    removed = calibrated(without_memorized, memorized)
    return table.assign(
        original=calibrated(original, common).value,
        without_memorized=calibrated(without_memorized, common).value,
        without_random=calibrated(without_random, common).value,
        **difference.columns("difference"),
        removed_before=calibrated(original, memorized).value,
        **removed.columns("removed_after"),
    )
