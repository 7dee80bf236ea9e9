"""SSLMem over several runs."""

import json
import os
import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path

import numpy as np
from torch import nn
from typing_extensions import Unpack

from lightly_memloc.data import Study
from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.estimation import combine_runs
from lightly_memloc.evaluators import LayerMemEvaluator
from lightly_memloc.results import (
    LayerMemResult,
    SSLMemRunsResult,
    load_result,
)
from lightly_memloc.runtime import MeasuringArguments, replacing, short_name
from lightly_memloc.training.copies import Copies, copied
from lightly_memloc.training.run import Run
from lightly_memloc.training.runs import Runs

_MEASUREMENT = "measurement.json"


def measure_ssl_mem_runs(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    seed: int = 0,
    data: str | None = None,
    state_folder: str | PathLike[str] | None = None,
    **options: Unpack[MeasuringArguments],
) -> SSLMemRunsResult:
    """Measure SSLMem of each image over several runs, with intervals over runs [0].

    SSLMem is an expectation over trainings. In each run, an image that exactly one of
    the encoders was trained on gets a score: how much better this encoder aligns its
    views, minus the run's offset between the encoders. The SSLMem of an image is the
    mean of its scores over runs. The mean over images is taken within each run, and its
    interval over runs, so that it predicts what another training would find. The null
    is the same with shuffled roles.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        runs: A folder written by ``train_runs``, or a list of run folders with the same
            data set and training settings. At least two runs; intervals need three.
            Missing, damaged and copied runs are left out with a warning.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Number of views per image.
        seed: Random seed of the views and the shuffled roles. Each run has its own views,
            whose seed is derived from this seed, the run's training seed and its
            candidates; ``settings["view_seeds"]`` lists them.
        data: Where the images are now, if they were moved.
        state_folder: Where to keep LayerMem of each run. Results of the same
            measurement that are already there are reused.
        options: How the passes over the images run: ``batch_size``, ``num_workers``,
            ``device``, ``precision`` and ``skip_unreadable``, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result: ``to_pandas()`` has one row per layer, ``samples_to_pandas()`` one
        per image and layer, ``runs_to_pandas()`` one per run and layer.

    Raises:
        MemorizationError: If fewer than two runs can be measured, the runs have
            different data sets or training settings, or the state folder belongs to
            another measurement.
    """
    measured: dict[str, LayerMemResult] = {}
    left_out: dict[str, str] = {}
    fingerprints: dict[str | None, str] = {}
    first: Run | None = None
    copies = Copies()

    def leave_out(name: str, error: Exception) -> None:
        left_out[name] = str(error)
        warnings.warn(f"{name} is left out: {error}", MemorizationWarning, stacklevel=3)

    for name, folder in _folders(runs).items():
        try:
            run = Run(folder, data)
            encoders = run.encoder("f"), run.encoder("g")
        except (MemorizationError, OSError) as error:
            leave_out(name, error)
            continue
        fingerprints.setdefault(run.split.fingerprint, name)
        if len(fingerprints) > 1:
            raise MemorizationError(
                f"{' and '.join(fingerprints.values())} are runs of different data sets: "
                "measure them separately."
            )
        first = first or run
        others = _differences(first, run)
        if others:
            raise MemorizationError(
                f"{first.folder} and {run.folder} are runs of different trainings "
                f"({', '.join(others)}): measure them separately."
            )
        original = copies.original_of(name, encoders)
        if original is not None:
            leave_out(name, MemorizationError(copied(original)))
            continue
        try:
            study = run.study(n_views=n_views, seed=view_seed(run, seed))
            into = None if state_folder is None else Path(state_folder) / _plain(name)
            measured[name] = _measured(into, study, encoders, layers, options)
        except NonFiniteError as error:
            leave_out(name, error)
    return combine_runs(measured, left_out, seed)


def view_seed(run: Run, seed: int) -> int:
    """Derive the seed of a run's views, so that runs do not share the noise of views.

    The seed depends on the run alone, not on the other runs that are measured.

    Args:
        run: The run.
        seed: The seed of the measurement.
    """
    candidates = zlib.crc32(run.split.candidate.astype("<i8").tobytes())
    entropy = np.random.SeedSequence((seed, run.config.seed, candidates))
    return int(entropy.generate_state(1)[0])


def _folders(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
) -> dict[str, Path]:
    if isinstance(runs, str | PathLike):
        folder_of_runs = Runs(runs)
        return {name: folder_of_runs.folder / name for name in folder_of_runs.names}
    by_place = {Path(folder).resolve(): folder for folder in reversed(runs)}
    return {str(folder): Path(folder) for folder in reversed(by_place.values())}


def _plain(name: str) -> str:
    """A folder name made from a run's name, which may be a path; each has its own."""
    plain = re.sub(r"[^\w.-]+", "_", name)
    if plain == name:
        return short_name(plain)
    return short_name(f"{plain}-{zlib.crc32(os.fsencode(name)):08x}")


def _differences(first: Run, run: Run) -> list[str]:
    """Settings in which two trainings differ, other than their seeds."""
    one, other = asdict(first.config), asdict(run.config)
    free = ("seed", "num_workers")
    return [name for name in one if name not in free and one[name] != other[name]]


def _measured(
    folder: Path | None,
    study: Study,
    encoders: tuple[nn.Module, nn.Module],
    layers: str | Sequence[str],
    options: MeasuringArguments,
) -> LayerMemResult:
    """LayerMem of a run, measured unless the folder contains it."""
    f, g = encoders
    state_file = None if folder is None else folder / "state.pt"
    evaluator = LayerMemEvaluator(
        f, study, g, layers=layers, **options, state_file=state_file
    )
    if folder is None:
        return evaluator.run()
    skips = {"skip_unreadable": evaluator.options.skip_unreadable}
    measurement = json.dumps(evaluator.fingerprint() | skips)
    if (folder / "result.json").is_file():
        result = load_result(folder)
        known = folder / _MEASUREMENT
        same = known.is_file() and known.read_text(encoding="utf-8") == measurement
        if not isinstance(result, LayerMemResult) or not same:
            raise MemorizationError(
                f"{folder} contains another measurement: choose another state folder, or "
                "remove it."
            )
        return result
    measured = evaluator.run()
    with replacing(folder / _MEASUREMENT) as partial:
        partial.write_text(measurement, encoding="utf-8")
    measured.save(folder)
    return measured
