"""Several runs on random splits of one data set, for what holds over trainings."""

import json
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.utilities import rank_zero_only

from lightly_memloc.data import MemorizationSplit, open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.run import Run

_FILE = "runs.json"


class Runs:
    """A folder of runs, ``run-1`` to ``run-K``.

    Args:
        folder: The folder.

    Raises:
        MemorizationError: If it is no folder of runs.

    Attributes:
        folder: The folder.
        names: Names of the runs that belong to it, whether they are there or not.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        if Run.is_run(folder):
            raise MemorizationError(
                f"{folder} is a single run: several are made with `lightly-memloc train "
                "--runs K`, and a single one is measured with layer-mem."
            )
        try:
            document = json.loads((self.folder / _FILE).read_text(encoding="utf-8"))
            self.names = _names(document["runs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemorizationError(
                f"{folder} is no folder of runs, as `lightly-memloc train --runs K` "
                f"writes it ({error})."
            ) from error

    @staticmethod
    def is_runs(folder: str | PathLike[str]) -> bool:
        """Whether a folder is a folder of runs."""
        return (Path(folder) / _FILE).is_file()

    def dataset(self) -> Any:
        """Open the data set, as the first run that is there and whole knows it.

        Raises:
            MemorizationError: If there is no such run, or the data set is not there, or
                its images are others now.
        """
        for name in self.names:
            try:
                run = Run(self.folder / name)
            except MemorizationError:
                continue
            return run.dataset()
        raise MemorizationError(
            f"{self.folder} holds none of its {len(self.names)} runs whole: train them "
            "again with the same `lightly-memloc train` command."
        )


def train_runs(
    folder: str | PathLike[str],
    data: str,
    n_runs: int,
    config: TrainingConfig | None = None,
    candidate: int | None = None,
    independent: int | None = None,
    external: int | None = None,
    exclude: Sequence[int] = (),
    device: str = "auto",
    callbacks: Sequence[str] = (),
) -> Runs:
    """Train pairs on random splits of a data set, or go on with what was interrupted.

    Each run draws a split, stratified by class, and seeds of its own from the
    settings' seed. By default a tenth of the images are external, and f and g share
    the others evenly, without shared images: each image is trained on by f in about
    half of the runs and by g in about the other half, so that all are scored.

    Args:
        folder: The folder of the runs ``run-1`` to ``run-K``. Those that are trained
            stay as they are, so that more runs can be added later.
        data: ``"digits"`` or a folder of images.
        n_runs: Number of runs K, at least 2.
        config: The trainings' settings; by default those that suit the data.
        candidate: Candidates of each run.
        independent: Independent images of each run.
        external: External images of each run.
        exclude: Indices that get no role, such as those of unreadable images.
        device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
        callbacks: Names of callbacks that follow the trainings, as in ``Run.train``.

    Raises:
        MemorizationError: If there are fewer than two runs, the folder holds other runs,
            or a pair cannot be trained.
    """
    if n_runs < 2:
        raise MemorizationError(f"Expected at least two runs, got {n_runs}.")
    path, config = Path(folder), config or TrainingConfig.for_data(data)
    if Run.is_run(path):
        raise MemorizationError(f"{path} is a run itself: choose another folder.")
    dataset = open_dataset(data)
    available = len(dataset) - len(exclude)
    external = available // 10 if external is None else external
    half = (available - external) // 2
    if independent == 0 and external == 0:
        raise MemorizationError(
            "Without independent or external images there is nothing that candidates "
            "could be compared with."
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
        )
        seed = np.random.SeedSequence((config.seed, number)).generate_state(1)[0]
        planned.append((path / name, split, replace(config, seed=int(seed))))
        Run.refuse_other(*planned[-1])
    known = len(Runs(path).names) if Runs.is_runs(path) else 0
    _write(path, max(n_runs, known))
    for number, (run, split, of_run) in enumerate(planned, start=1):
        title = f"Run {number} of {n_runs}: training"
        Run.train(run, data, split, of_run, device, callbacks, title)
    return Runs(path)


def _names(n_runs: int) -> list[str]:
    return [f"run-{number}" for number in range(1, n_runs + 1)]


@rank_zero_only
def _write(folder: Path, n_runs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_text(json.dumps({"runs": n_runs}) + "\n", encoding="utf-8")
