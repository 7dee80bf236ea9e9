"""Curation: listing the most memorised images and training without them."""

import shutil
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn
from typing_extensions import Unpack

from lightly_memloc.data import MemorizationSplit, filename_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import LayerMemEvaluator
from lightly_memloc.functional import Estimate, calibrated_layer_mem
from lightly_memloc.interventions.select import number_of
from lightly_memloc.probes import ProbeTask, probe_named
from lightly_memloc.results import (
    CurationResult,
    LayerMemResult,
    SSLMemRunsResult,
)
from lightly_memloc.runtime import PassArguments, PassOptions, replacing
from lightly_memloc.training import Run

Indices = NDArray[np.int64]

_NOTE = (
    "Intervals are over images, for these training runs: another run without the same "
    "images may differ."
)


def curate(
    measured: LayerMemResult | SSLMemRunsResult, amount: float = 50
) -> CurationResult:
    """List the most memorised images by SSLMem in the last measured layer [0].

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        measured: LayerMem of a pair, which scores its candidates; or SSLMem over
            several runs, which scores images that had either role in enough runs.
        amount: Number of images, or a fraction of the scored images if below 1. At
            least one image is listed.

    Returns:
        The curation. ``to_pandas()`` has one row per listed image.

    Raises:
        MemorizationError: If there are no scores because there was no reference
            encoder, or the amount is not positive or exceeds the scored images.
    """
    ranked = measured.top_samples(len(measured.samples_to_pandas()))
    if isinstance(measured, SSLMemRunsResult):
        role = "candidate or independent"
        ranked = ranked.rename(columns={"ssl_mem_p": "p"})
    else:
        role = "candidate"
        if ranked["ssl_mem"].isna().any():
            raise MemorizationError(
                "Images are ranked by SSLMem, which needs a reference encoder that was "
                "trained without the candidates."
            )
        ranked["p"] = _external_p(measured, ranked["ssl_mem"].to_numpy())
    number = max(1, number_of(amount, len(ranked), "scored images"))
    top = ranked.head(number)
    top.insert(2, "role", role)
    settings = {
        "layer": str(measured.to_pandas()["layer"].iloc[-1]),
        "scored": len(ranked),
        "number": number,
        "skipped": [],
    }
    return CurationResult(settings, {"samples": top})


def write_filename_lists(
    curation: CurationResult, dataset: Any, folder: str | PathLike[str]
) -> None:
    """Write the names of removed and kept images to text files, one per line.

    Pass the lines of ``kept.txt`` to lightly's
    ``LightlyDataset(input_dir, filenames=...)``.

    Args:
        curation: The images to remove.
        dataset: The data set of the images.
        folder: Folder for ``memorized.txt`` and ``kept.txt``.

    Raises:
        MemorizationError: If a file name contains a line break.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    images = curation.to_pandas()
    left_out = set(images["index"])
    kept = [
        filename_of(dataset, index)
        for index in range(len(dataset))
        if index not in left_out
    ]
    for name, filenames in (("memorized", images["filename"]), ("kept", kept)):
        broken = [filename for filename in filenames if "\n" in filename]
        if broken:
            raise MemorizationError(
                f"The file name {broken[0]!r} contains a line break, which a list with "
                "one name per line cannot represent: rename the file."
            )
        lines = "".join(f"{filename}\n" for filename in filenames)
        (path / f"{name}.txt").write_text(lines, "utf-8", "surrogateescape")


def retrain_without(
    run: Run,
    curation: CurationResult,
    task: ProbeTask,
    folder: str | PathLike[str],
    *,
    probe: str = "logistic",
    n_views: int = 10,
    seed: int = 0,
    **options: Unpack[PassArguments],
) -> CurationResult:
    """Train a run's encoder f again without its most memorised images [0].

    As a control, another encoder is trained without the same number of random
    candidates. The reference encoder g is reused, as it was trained on none of them.
    The comparison covers the accuracy of a probe and calibrated LayerMem over the
    candidates that both encoders were trained on. Compare the two retrained encoders
    with each other: LayerMem of the original encoder over these candidates is low by
    selection, because the candidates with the highest scores are excluded.

    - [0]: The Privacy Onion Effect, 2022, https://arxiv.org/abs/2206.10469

    Args:
        run: The run, with external images.
        curation: The candidates to leave out.
        task: The labelled images of the probe.
        folder: Folder for the runs ``without-memorized`` and ``without-random``. If it
            contains interrupted runs, training resumes.
        probe: Name of the probe.
        n_views: Views per image for LayerMem.
        seed: Random seed of the views, the random candidates and the probe.
        options: How the passes over the images run, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The curation, with ``layers_to_pandas()`` and ``accuracy_to_pandas()``.

    Raises:
        MemorizationError: If the images are not candidates of the run, there are fewer
            than two images to leave out, two external images or two remaining
            candidates, the probe is unknown, or the folder contains other runs.
    """
    test, split = probe_named(probe), run.split
    study = run.study(n_views=n_views, seed=seed)
    device = str(PassOptions(**options).device)
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
        LayerMemEvaluator(encoder, study, run.encoder("g"), **options).run()
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


def _external_p(measured: LayerMemResult, scores: Any) -> Any:
    """Share of external images that score as high, counting the image itself."""
    samples = measured.samples_to_pandas()
    last = measured.to_pandas()["layer"].iloc[-1]
    external = np.sort(samples[samples["role"] == "external"][last].to_numpy())
    if not len(external):
        return np.nan
    as_high = len(external) - np.searchsorted(external, scores, "left")
    return (1 + as_high) / (1 + len(external))


def _refuse_unfit(run: Run, memorized: Indices, common: Indices) -> None:
    others = np.setdiff1d(memorized, run.split.candidate)
    if len(others):
        raise MemorizationError(
            f"Image {others[0]} and {len(others) - 1} more are not candidates of "
            f"{run.folder}. Only candidates, which g was not trained on, can be left out."
        )
    if min(len(memorized), len(common), len(run.split.external)) < 2:
        raise MemorizationError(
            "Expected at least two images to leave out, two candidates that remain in "
            f"both training sets and two external images, got {len(memorized)}, "
            f"{len(common)} and {len(run.split.external)}."
        )


def _retrained(
    run: Run, split: MemorizationSplit, folder: Path, device: str
) -> nn.Module:
    """Encoder f, trained in a new run without some candidates."""
    reference = folder / "g.ckpt"
    if not reference.is_file():
        with replacing(reference) as partial:
            shutil.copyfile(run.folder / "g.ckpt", partial)
    title = f"{folder.name}: training"
    retrained = Run.train(
        folder, run.data, split, run.config, device=device, title=title
    )
    return retrained.encoder("f")


def _layers(
    measured: list[LayerMemResult],
    memorized: Indices,
    common: Indices,
    external: Indices,
) -> pd.DataFrame:
    """One row per layer: calibrated LayerMem of the encoders and their difference."""
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
