"""SSLMem over several runs."""

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
from lightly_memloc.estimation import combine_runs
from lightly_memloc.evaluators import measure_layer_mem
from lightly_memloc.results import LayerMemResult, SSLMemRunsResult, load_result
from lightly_memloc.runtime import digest
from lightly_memloc.training.run import Run
from lightly_memloc.training.runs import Runs

_MEASUREMENT = "measurement.json"
_IDENTIFYING = ("layers", "n_views", "seed", "skip_unreadable")


def measure_ssl_mem_runs(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str = "auto",
    skip_unreadable: bool = False,
    state_folder: str | PathLike[str] | None = None,
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
            Missing and damaged runs are left out with a warning.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Number of views per image.
        batch_size: Images per batch; the encoders see ``batch_size * n_views`` views.
        num_workers: Worker processes that load images.
        seed: Random seed of the views and the shuffled roles.
        device: ``"auto"`` or a torch device.
        skip_unreadable: Whether to leave unreadable images out instead of raising an
            error.
        state_folder: Where to keep LayerMem of each run. Results of the same
            measurement that are already there are reused.

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

    def leave_out(name: str, error: Exception) -> None:
        left_out[name] = str(error)
        warnings.warn(f"{name} is left out: {error}", MemorizationWarning, stacklevel=3)

    for name, folder in _folders(runs).items():
        try:
            run = Run(folder)
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
        try:
            measured[name] = _measured(
                None if state_folder is None else Path(state_folder) / _plain(name),
                *encoders,
                run.dataset(),
                run.split,
                run.transform(),
                layers=layers,
                n_views=n_views,
                batch_size=batch_size,
                num_workers=num_workers,
                seed=seed,
                device=device,
                skip_unreadable=skip_unreadable,
            )
        except NonFiniteError as error:
            leave_out(name, error)
    return combine_runs(measured, left_out, seed)


def _folders(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
) -> dict[str, Path]:
    if isinstance(runs, str | PathLike):
        folder_of_runs = Runs(runs)
        return {name: folder_of_runs.folder / name for name in folder_of_runs.names}
    by_place = {Path(folder).resolve(): folder for folder in reversed(runs)}
    return {str(folder): Path(folder) for folder in reversed(by_place.values())}


def _plain(name: str) -> str:
    """A folder name made from a run's name, which may be a path."""
    return re.sub(r"[^\w.-]+", "_", name)


def _differences(first: Run, run: Run) -> list[str]:
    """Settings in which two trainings differ, other than their seeds."""
    one, other = asdict(first.config), asdict(run.config)
    free = ("seed", "num_workers")
    return [name for name in one if name not in free and one[name] != other[name]]


def _measured(folder: Path | None, *arguments: Any, **options: Any) -> LayerMemResult:
    """LayerMem of a run, measured unless the folder contains it."""
    if folder is None:
        return measure_layer_mem(*arguments, **options)
    weights = [digest(encoder.state_dict().values()) for encoder in arguments[:2]]
    measurement = json.dumps(
        {name: options[name] for name in _IDENTIFYING} | {"weights": weights}
    )
    if (folder / "result.json").is_file():
        result = load_result(folder)
        same = (folder / _MEASUREMENT).is_file() and (
            folder / _MEASUREMENT
        ).read_text() == measurement
        if not isinstance(result, LayerMemResult) or not same:
            raise MemorizationError(
                f"{folder} contains another measurement: choose another state folder, or "
                "remove it."
            )
        return result
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / "state.pt"
    result = measure_layer_mem(*arguments, **options, state_file=state_file)
    (folder / _MEASUREMENT).write_text(measurement, encoding="utf-8")
    result.save(folder)
    return result
