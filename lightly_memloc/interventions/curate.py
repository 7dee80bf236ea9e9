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
from lightly_memloc.functional import (
    Estimate,
    conformal_p,
    difference_of_means,
    q_values,
)
from lightly_memloc.functional.layer_mem import Normalization, bounded, unbounded
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

# That of SSLMem as it is measured here.
_NORMALIZATION: Normalization = "relative"

_NOTE = (
    "Intervals are over images, for these training runs: another run without the same "
    "images may differ."
)


def curate(
    measured: LayerMemResult | SSLMemRunsResult,
    amount: float | None = None,
    *,
    fdr: float | None = None,
) -> CurationResult:
    """List the most memorised images by SSLMem in the last measured layer [0].

    By default, the list contains the images whose memorisation is detected at a false
    discovery rate of 10%: at most a tenth of the list is expected to be there by chance.
    It is empty if no image scores higher than chance explains. An ``amount`` lists that
    many images, detected or not.

    The p-value of an image of a single pair is conformal
    (:func:`~lightly_memloc.functional.conformal_p`): how often external images, which
    neither encoder was trained on, score as high. For several runs, it comes from
    exchanged roles (:func:`~lightly_memloc.functional.moderated_mean`).

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        measured: LayerMem of a pair, which scores its candidates; or SSLMem over
            several runs, which scores images that had either role in enough runs.
        amount: Number of images to list, or a fraction of the scored images if below 1.
            At least one image is listed.
        fdr: False discovery rate of the list, 0.1 by default. Not together with
            ``amount``.

    Returns:
        The curation. ``to_pandas()`` has one row per listed image. Of ``settings``,
        ``number`` is the length of the list, and ``by_chance`` how many of its images
        are expected there by chance: at most ``fdr * number`` of a list by ``fdr``; of a
        list by ``amount`` the number if no image were memorised, None if unknown.

    Raises:
        MemorizationError: If there are no scores because there was no reference
            encoder; if ``amount`` and ``fdr`` are both given or out of range; or if
            there are no p-values for a list by ``fdr``, because there are no external
            images or fewer than three runs.
    """
    if fdr is not None and not 0 < fdr < 1:
        raise MemorizationError(
            f"Expected a false discovery rate between 0 and 1, got {fdr:g}."
        )
    if amount is not None and fdr is not None:
        raise MemorizationError(
            f"Expected an amount or a false discovery rate, got both ({amount:g} and "
            f"{fdr:g})."
        )
    scored = _scored(measured, only_tested=amount is None)
    settings = {
        "layer": str(measured.to_pandas()["layer"].iloc[-1]),
        "scored": len(scored),
        "skipped": [],
        **_evidence(measured),
        **measured.belongs_to(),
    }
    if amount is None:
        rate = 0.1 if fdr is None else fdr
        top, by_chance = _detected(scored, rate, isinstance(measured, LayerMemResult))
        settings["fdr"] = rate
    else:
        number = max(1, number_of(amount, len(scored), "scored images"))
        top = scored.head(number)
        # How many images would score as high as the last one of the list.
        by_chance = min(float(top["by_chance"].iloc[-1]), number)
    settings["number"] = len(top)
    settings["by_chance"] = None if np.isnan(by_chance) else by_chance
    top = top.drop(columns="by_chance").reset_index(drop=True)
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
        with replacing(path / f"{name}.txt") as partial:
            partial.write_text(lines, "utf-8", "surrogateescape")


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
    selection, because the candidates with the highest scores are excluded. In the same
    way, the score of the listed images is high by selection. Whether they are memorised
    is estimated by the two new encoders, which did not choose them: one was trained on
    them, the other was not.

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
        MemorizationError: If no image is listed, the images are not candidates of the
            run, there are fewer than two images to leave out, two external images or two remaining
            candidates, the probe is unknown, or the folder contains other runs.
    """
    test, split = probe_named(probe), run.split
    study = run.study(n_views=n_views, seed=seed)
    device = str(PassOptions(**options).device)
    memorized = curation.to_pandas()["index"].to_numpy()
    if not len(memorized):
        raise MemorizationError(
            "No image is listed, so there is nothing to train without. To train without "
            "the highest scores even so, list a fixed number of images (--amount)."
        )
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
        {
            **curation.settings,
            "images": images,
            "unlabelled": task.unlabelled,
            "probe": probe,
            "notes": [_NOTE],
        },
        {
            **curation.tables,
            "layers": _layers(measured, memorized, drawn, common, split.external),
            "accuracy": accuracies,
            "random": pd.DataFrame({"index": np.sort(drawn)}),
        },
    )


def _evidence(measured: LayerMemResult | SSLMemRunsResult) -> dict[str, int]:
    """How many runs, or external images or groups of them, p-values rest on."""
    if isinstance(measured, SSLMemRunsResult):
        return {"n_runs": len(measured.settings["runs"])}
    samples = measured.samples_to_pandas()
    external = samples[samples["role"] == "external"]
    unit = "group" if "group" in external else "index"
    return {"n_external": int(external[unit].nunique())}


def _scored(
    measured: LayerMemResult | SSLMemRunsResult, only_tested: bool
) -> pd.DataFrame:
    """Images with their p, q and how many score as high by chance, highest first.

    Of several runs, a list by false discovery rate is chosen from all images that are
    tested, one of fixed length from those that ``top_samples`` ranks.
    """
    ranked = measured.top_samples(len(measured.samples_to_pandas()))
    if isinstance(measured, SSLMemRunsResult):
        return _scored_over_runs(measured, ranked, only_tested)
    if ranked["ssl_mem"].isna().any():
        raise MemorizationError(
            "Images are ranked by SSLMem, which needs a reference encoder that was "
            "trained without the candidates. For one encoder, infer_membership "
            "(membership) ranks them by their adjusted alignment."
        )
    samples = measured.samples_to_pandas()
    external = samples[samples["role"] == "external"]
    last = measured.to_pandas()["layer"].iloc[-1]
    p = conformal_p(ranked["ssl_mem"], external[last], external.get("group"))
    ranked.insert(2, "role", "candidate")
    return ranked.assign(p=p, q=q_values(p), by_chance=p * len(ranked))


def _scored_over_runs(
    measured: SSLMemRunsResult, ranked: pd.DataFrame, only_tested: bool
) -> pd.DataFrame:
    samples = measured.samples_to_pandas()
    last = measured.to_pandas()["layer"].iloc[-1]
    images: pd.DataFrame = samples[samples["layer"] == last]
    if "ssl_mem_q" not in images:
        # Version 0.1.0 saved two-sided p-values.
        half = images["ssl_mem_p"] / 2
        p = half.where(images["ssl_mem"] > 0, 1 - half)
        images = images.assign(ssl_mem_p=p, ssl_mem_q=q_values(p), by_chance=np.nan)
    if only_tested and images["ssl_mem_p"].notna().any():
        images = images[images["ssl_mem_p"].notna()]
        images = images.sort_values(["ssl_mem", "index"], ascending=[False, True])
    else:
        images = images.set_index("index").loc[ranked["index"]].reset_index()
    images = images.rename(columns={"ssl_mem_p": "p", "ssl_mem_q": "q"})
    images = images.drop(columns="layer")
    images.insert(2, "role", "candidate or independent")
    return images


def _detected(
    scored: pd.DataFrame, fdr: float, is_pair: bool
) -> tuple[pd.DataFrame, float]:
    """Images with q up to a rate, and how many of them are expected by chance."""
    if scored["p"].isna().all():
        needed = "external images" if is_pair else "at least three runs"
        raise MemorizationError(
            f"A list by false discovery rate needs p-values, which need {needed}. To "
            "list a fixed number of images instead, set the amount (--amount)."
        )
    listed = scored[scored["q"] <= fdr]
    return listed, fdr * len(listed)


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
    drawn: Indices,
    common: Indices,
    external: Indices,
) -> pd.DataFrame:
    """One row per layer: calibrated LayerMem of the encoders and their difference."""
    table = measured[0].to_pandas()[["layer", "kind"]]
    samples = [result.samples_to_pandas().set_index("index") for result in measured]
    original, without_memorized, without_random = (
        pd.DataFrame(
            unbounded(of[table["layer"]].to_numpy(), _NORMALIZATION), index=of.index
        )
        for of in samples
    )

    def calibrated(scores: pd.DataFrame, images: Indices) -> Estimate:
        """Calibrated LayerMem, or the difference of two encoders' calibrated LayerMem."""
        groups, strata = (
            samples[0][name].loc[[*images, *external]] if name in samples[0] else None
            for name in ("group", "stratum")
        )
        found = difference_of_means(
            scores.loc[images].to_numpy(),
            scores.loc[external].to_numpy(),
            groups=groups,
            strata=strata,
        )
        return found.mapped(lambda value: bounded(value, _NORMALIZATION))

    difference = calibrated(without_memorized - without_random, common)
    # The listed images that the encoder without random images was trained on.
    learned = np.setdiff1d(memorized, drawn)
    effect = (
        calibrated(without_random - without_memorized, learned)
        if len(learned) > 1
        else Estimate.unknown(len(table))
    )
    return table.assign(
        original=calibrated(original, common).value,
        without_memorized=calibrated(without_memorized, common).value,
        without_random=calibrated(without_random, common).value,
        **difference.columns("difference"),
        removed_before=calibrated(original, memorized).value,
        removed_after=calibrated(without_memorized, memorized).value,
        **effect.columns("removed_effect"),
    )
