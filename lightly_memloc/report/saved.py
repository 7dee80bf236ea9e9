"""What a folder holds of results, and of the run they were measured on."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lightly_memloc.data import open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import EVALUATORS
from lightly_memloc.evaluators.evaluator import result_folder
from lightly_memloc.report.titles import TITLES
from lightly_memloc.results import Result, load_epochs, load_result
from lightly_memloc.training import Run, Runs

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Saved:
    """Results, and the run or runs that they belong to.

    Attributes:
        folder: The folder.
        results: The results by the names of their folders, in the order of telling.
        run: The run that the folder holds, if any.
        runs: The runs that the folder holds, if any.
        epochs: What callbacks measured while f was trained, by the callback's name.
    """

    folder: Path
    results: dict[str, Result]
    run: Run | None
    runs: Runs | None
    epochs: dict[str, list[Result]]

    @classmethod
    def read(cls, folder: Path) -> "Saved":
        """Read a folder.

        Args:
            folder: A run folder, a folder of runs, or the folder of a single result.

        Raises:
            MemorizationError: If there is no such folder, or it holds no results.
        """
        if not folder.is_dir():
            raise MemorizationError(f"There is no folder {folder}.")
        folders = [path.parent for path in folder.glob("*/result.json")]
        if (folder / "result.json").is_file() or not folders:
            folders = [folder]
        for path in folders:
            _import_evaluator(path.name)
        ranks = {name: rank for rank, name in enumerate(TITLES)}
        folders.sort(key=lambda path: (ranks.get(path.name, len(ranks)), path.name))
        followed = {
            path.name: load_epochs(path)
            for path in sorted((folder / "training" / "f").glob("*"))
        }
        return cls(
            folder,
            {path.name: load_result(path) for path in folders},
            Run(folder) if Run.is_run(folder) else None,
            Runs(folder) if Runs.is_runs(folder) else None,
            {name: results for name, results in followed.items() if results},
        )

    def first(self, result_class: type[R]) -> R | None:
        """Return the first result of a class, if there is one."""
        of_class = (r for r in self.results.values() if isinstance(r, result_class))
        return next(of_class, None)

    @property
    def source(self) -> dict[str, str]:
        """What was measured, if it was an encoder of the user's own."""
        sources = (of.settings.get("source", {}) for of in self.results.values())
        return next(filter(None, sources), {})

    def open_dataset(self) -> object:
        """Open the data set of the run, or of the runs.

        Raises:
            MemorizationError: If it is not known, not there, or another by now.
        """
        if self.run is not None:
            return self.run.dataset()
        if self.runs is not None:
            return self.runs.dataset()
        if "data" in self.source:
            return open_dataset(self.source["data"])
        raise MemorizationError(
            f"{self.folder} does not say where its images are: give --data."
        )


def _import_evaluator(folder_name: str) -> None:
    """Import the evaluator of another package that measured, for its result class."""
    for name in EVALUATORS.names():
        if result_folder(name) == folder_name:
            EVALUATORS[name]
