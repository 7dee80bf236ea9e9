"""Several runs on random splits of one data set, for results over trainings."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lightly_memloc.data import MemorizationSplit, open_dataset
from lightly_memloc.errors import (
    DivergedError,
    MemorizationError,
    MemorizationWarning,
)
from lightly_memloc.runtime import is_first_process, refuse_outside, replacing
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.copies import Copies, copied
from lightly_memloc.training.run import Run

_FILE = "runs.json"


class Runs:
    """A folder of runs, ``run-1`` to ``run-K``.

    Args:
        folder: The folder.
        data: Where the images are now, if they were moved.

    Raises:
        MemorizationError: If the folder is not a folder of runs.

    Attributes:
        folder: The folder.
        names: Names of its runs, including runs that are missing.
    """

    def __init__(self, folder: str | PathLike[str], data: str | None = None) -> None:
        self.folder = Path(folder)
        self.data = data
        if Run.is_run(folder):
            raise MemorizationError(
                f"{folder} is a single run. Train several with `lightly-memloc train "
                "--runs K`, or measure the single run with layer-mem."
            )
        try:
            document = json.loads((self.folder / _FILE).read_text(encoding="utf-8"))
            refuse_outside(
                "the number of runs", document["runs"], at_least=1, whole=True
            )
            self.names = _names(document["runs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemorizationError(
                f"{folder} is no folder of runs ({error}). Expected a folder that "
                "`lightly-memloc train --runs K` wrote."
            ) from error

    @staticmethod
    def is_runs(folder: str | PathLike[str]) -> bool:
        """Whether a folder is a folder of runs."""
        return (Path(folder) / _FILE).is_file()

    def distinct(self) -> list[Run]:
        """Return the runs without copies of others, which are named in a warning.

        Raises:
            MemorizationError: If a run is not complete.
        """
        runs, copies = [], Copies()
        for name in self.names:
            run = Run(self.folder / name, self.data)
            original = copies.original_of(name, (run.encoder("f"), run.encoder("g")))
            if original is None:
                runs.append(run)
                continue
            message = f"{name} is left out: {copied(original)}"
            warnings.warn(message, MemorizationWarning, stacklevel=2)
        return runs

    def dataset(self) -> Any:
        """Open the data set of the first complete run.

        Raises:
            MemorizationError: If no run is complete, or the data set does not exist or
                its images have changed.
        """
        for name in self.names:
            try:
                run = Run(self.folder / name, self.data)
            except MemorizationError:
                continue
            return run.dataset()
        raise MemorizationError(
            f"None of the {len(self.names)} runs in {self.folder} is complete: train "
            "them again with the same `lightly-memloc train` command."
        )


def train_runs(
    folder: str | PathLike[str],
    data: str,
    n_runs: int,
    config: TrainingConfig | None = None,
    *,
    candidate: int | None = None,
    independent: int | None = None,
    external: int | None = None,
    exclude: Sequence[int] = (),
    groups: ArrayLike | None = None,
    allow_duplicates: bool = False,
    device: str = "auto",
    callbacks: Sequence[str] = (),
) -> Runs:
    """Train pairs on random splits of a data set, or resume interrupted trainings.

    Each run draws its own split, stratified by class, and its own seed from the seed of
    the settings. By default a tenth of the images are external and the others are
    divided evenly between f and g, without shared images: f is trained on an image in
    about half of the runs and g in the other half, so that all images are scored.

    Args:
        folder: The folder of the runs ``run-1`` to ``run-K``. Trained runs are not
            changed, so that more runs can be added later.
        data: ``"digits"``, or a folder or a list of images.
        n_runs: Number of runs K, at least 2.
        config: The settings; by default those that suit the data.
        candidate: Number of candidate images per run.
        independent: Number of independent images per run.
        external: Number of external images per run.
        exclude: Indices without a role, such as those of unreadable images.
        groups: Group of each image, which is never divided between roles. By default,
            the groups that the data set lists, if there are any.
        allow_duplicates: Whether to train on identical images of different roles, with
            a warning, instead of refusing them.
        device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
        callbacks: Names of callbacks that follow the trainings, as in ``Run.train``.

    Raises:
        MemorizationError: If there are fewer than two runs, the folder contains other
            runs, or a pair cannot be trained.
        DivergedError: If the training of a pair diverged, after the other pairs are
            trained.
    """
    if n_runs < 2:
        raise MemorizationError(f"Expected at least two runs, got {n_runs}.")
    path, config = Path(folder), config or TrainingConfig.for_data(data)
    if Run.is_run(path):
        raise MemorizationError(f"{path} is a single run: choose another folder.")
    dataset = open_dataset(data)
    available = len(dataset) - len(exclude)
    external = available // 10 if external is None else external
    half = (available - external) // 2
    if independent == 0 and external == 0:
        raise MemorizationError(
            "Candidates need independent or external images for comparison; both were "
            "set to 0."
        )
    planned = []
    for number, name in enumerate(_names(n_runs), start=1):
        split = MemorizationSplit.of_dataset(
            dataset,
            half if candidate is None else candidate,
            half if independent is None else independent,
            external,
            (config.seed, number),
            exclude,
            groups,
        )
        seed = np.random.SeedSequence((config.seed, number)).generate_state(1)[0]
        planned.append((path / name, split, replace(config, seed=int(seed))))
        Run.refuse_other(*planned[-1])
    known = len(Runs(path).names) if Runs.is_runs(path) else 0
    if is_first_process(config.devices):
        _write(path, max(n_runs, known))
    diverged = []
    for number, (run, split, of_run) in enumerate(planned, start=1):
        title = f"Run {number} of {n_runs}: training"
        try:
            Run.train(
                run,
                data,
                split,
                of_run,
                device=device,
                callbacks=callbacks,
                allow_duplicates=allow_duplicates,
                title=title,
            )
        except DivergedError as error:
            diverged.append(str(error))
    if diverged:
        raise DivergedError(
            f"{len(diverged)} of {n_runs} trainings diverged; the others are complete. "
            + " ".join(diverged)
        )
    return Runs(path)


def _names(n_runs: int) -> list[str]:
    return [f"run-{number}" for number in range(1, n_runs + 1)]


def _write(folder: Path, n_runs: int) -> None:
    with replacing(folder / _FILE) as partial:
        partial.write_text(json.dumps({"runs": n_runs}) + "\n", encoding="utf-8")
