"""Results in folders: saved with their figures, and read with what they belong to."""

import shlex
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from matplotlib.figure import Figure

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.report.report import REPORTS, Report, report_of
from lightly_memloc.report.svg import to_svg
from lightly_memloc.report.unit_mem import plot_epochs
from lightly_memloc.results import Result, UnitMemResult, load_epochs, load_result
from lightly_memloc.runtime.files import replacing
from lightly_memloc.runtime.registry import Registry

if TYPE_CHECKING:
    from lightly_memloc.training import Run, Runs

R = TypeVar("R", bound=Result)

# Where the images of a custom encoder are: one data set, or two in this order.
_IMAGES = ("data", "members", "holdout")


def save_with_figures(result: Result, folder: Path) -> None:
    """Save a result to a folder, with its figures as PNG and SVG files.

    Args:
        result: A result of any kind.
        folder: The folder; it is made if it does not exist.
    """
    result.save(folder)
    for name, figure in report_of(result).figures().items():
        _save_figure(figure, folder / name)


def save_epochs(run: Path) -> None:
    """Save what callbacks measured in a run's trainings as PNG and SVG files.

    Args:
        run: The run folder. The folder of each callback that measured UnitMem gets
            ``unit_mem.png`` and ``.svg``, the mean UnitMem of each layer over epochs.
    """
    for folder in sorted(run.glob("training/*/*")):
        results = load_epochs(folder)
        if any(isinstance(result, UnitMemResult) for result in results):
            try:
                figure = plot_epochs(results)[0]
            except MemorizationError as error:
                message = f"There is no figure of {folder}: {error}"
                warnings.warn(message, MemorizationWarning, stacklevel=2)
                continue
            _save_figure(figure, folder / "unit_mem")


@dataclass(frozen=True)
class Saved:
    """Results, and the run or runs that they belong to.

    Attributes:
        folder: The folder.
        results: The results by the names of their folders, in the order of a page.
        run: The run that the folder contains, if any.
        runs: The runs that the folder contains, if any.
        epochs: What callbacks measured while f was trained, by the callback's name.
    """

    folder: Path
    results: dict[str, Result]
    run: "Run | None"
    runs: "Runs | None"
    epochs: dict[str, list[Result]]

    @classmethod
    def read(cls, folder: Path) -> "Saved":
        """Read a folder.

        Args:
            folder: A run folder, a folder of runs, or the folder of a single result.

        Raises:
            MemorizationError: If there is no such folder, or it contains no results.
        """
        if not folder.is_dir():
            raise MemorizationError(f"There is no folder {folder}.")
        folders = [path.parent for path in folder.glob("*/result.json")]
        if (folder / "result.json").is_file():
            folders = [folder]
        if not folders:
            raise MemorizationError(measure_first(folder))
        results: dict[str, Result] = {}
        broken = []
        for path in sorted(folders):
            _import_result_class(path.name)
            try:
                results[path.name] = load_result(path)
            except MemorizationError as error:
                broken.append(error)
        if broken and not results:
            raise broken[0]
        for reason in broken:
            message = f"A result is left out: {reason}"
            warnings.warn(message, MemorizationWarning, stacklevel=2)
        ordered = sorted(
            results.items(), key=lambda named: (report_of(named[1]).place, named[0])
        )
        run, runs = _studied(folder)
        followed = {
            path.name: _current_epochs(_readable_epochs(path), path, run)
            for path in sorted((folder / "training" / "f").glob("*"))
        }
        of = _studied(folder.parent) if folders == [folder] else (run, runs)
        current = _current(dict(ordered), *of)
        if ordered and not current:
            raise MemorizationError(
                f"All results in {folder} are of an earlier state of it: measure again, "
                f"for example with `lightly-memloc layer-mem {folder}`."
            )
        return cls(
            folder,
            current,
            run,
            runs,
            {name: measured for name, measured in followed.items() if measured},
        )

    @cached_property
    def reports(self) -> dict[str, Report[Any]]:
        """The reports of the results, by the names of their folders."""
        return {name: report_of(result) for name, result in self.results.items()}

    def first(self, result_class: type[R]) -> R | None:
        """Return the first result of a class, if there is one."""
        of_class = (r for r in self.results.values() if isinstance(r, result_class))
        return next(of_class, None)

    @property
    def source(self) -> dict[str, str]:
        """What was measured, if it was a custom encoder."""
        sources = (of.settings.get("source", {}) for of in self.results.values())
        return next(filter(None, sources), {})

    def refuse_other_images(self, dataset: Any) -> None:
        """Refuse images that are not those that were measured.

        Args:
            dataset: The data set of the images.

        Raises:
            MemorizationError: If the pixels of up to 256 images differ from those that
                a result remembers. Results of earlier versions remember none.
        """
        known: dict[str, str] = {}
        for result in self.results.values():
            fingerprints = result.settings.get("fingerprints", {})
            for of in (fingerprints, *fingerprints.get("runs", {}).values()):
                known |= of.get("images", {})
        if not known:
            return
        from lightly_memloc.data import changed_images

        before = {int(index): of for index, of in known.items()}
        changed = changed_images(dataset, before)
        if changed:
            raise MemorizationError(
                f"The images are not those that were measured: {len(changed)} of the "
                f"{len(known)} that were compared differ."
            )

    def open_dataset(self) -> object:
        """Open the data set of the run, or of the runs.

        Raises:
            MemorizationError: If it is unknown, missing or has changed.
        """
        if self.run is not None:
            return self.run.dataset()
        if self.runs is not None:
            return self.runs.dataset()
        places = [self.source[name] for name in _IMAGES if name in self.source]
        if places:
            from torch.utils.data import ConcatDataset

            from lightly_memloc.data import open_dataset

            parts = [open_dataset(place) for place in places]
            return parts[0] if len(parts) == 1 else ConcatDataset(parts)
        raise MemorizationError(
            f"{self.folder} does not say where its images are: give --data."
        )


def is_study(folder: Path) -> bool:
    """Whether a folder is a run folder or a folder of runs.

    Tells by the files alone: to import the training takes seconds, which a folder of
    results need not cost.

    Args:
        folder: The folder.
    """
    return any((folder / name).is_file() for name in ("config.yaml", "runs.json"))


def measure_first(folder: Path, command: str = "layer-mem") -> str:
    """Say that a folder lacks results, and how to make some.

    Args:
        folder: The folder.
        command: The command that makes them.
    """
    if (folder / "runs.json").is_file():
        command = "ssl-mem"
    elif not is_study(folder):
        return (
            f"{folder} contains no results: expected a run folder, a folder of runs or a "
            "folder of results. Measure first, for example with `lightly-memloc "
            f"{command} RUN`."
        )
    return (
        f"{folder} contains no results of {command} yet. Measure first: lightly-memloc "
        f"{command} {shlex.quote(str(folder))}"
    )


def _studied(folder: Path) -> tuple["Run | None", "Runs | None"]:
    """The run or the runs of a folder, if any."""
    if not is_study(folder):
        return None, None
    from lightly_memloc.training import Run, Runs

    return (
        Run(folder) if Run.is_run(folder) else None,
        Runs(folder) if Runs.is_runs(folder) else None,
    )


def _readable_epochs(folder: Path) -> list[Result]:
    """What a callback wrote, or nothing if a part of it is broken."""
    try:
        return load_epochs(folder)
    except MemorizationError as error:
        message = f"What was measured in training is left out: {error}"
        warnings.warn(message, MemorizationWarning, stacklevel=3)
        return []


def _current_epochs(
    results: list[Result], folder: Path, run: "Run | None"
) -> list[Result]:
    """What was measured in the training that ended in the run's encoder.

    Only what was measured after the last epoch can tell: it has the encoder's weights.
    """
    if run is None or not results:
        return results
    last = results[-1]
    if last.settings["epoch"] != run.config.epochs - 1:
        return results
    from lightly_memloc.training import changes_since

    if "the weights of f" not in changes_since(last, run):
        return results
    message = (
        f"What was measured in training ({folder}) is left out: it is of an earlier "
        "training of this run."
    )
    warnings.warn(message, MemorizationWarning, stacklevel=3)
    return []


def _current(
    results: dict[str, Result], run: "Run | None", runs: "Runs | None"
) -> dict[str, Result]:
    """The results that belong to the run or the runs as they are now."""
    study = run or runs
    if study is None:
        return results
    from lightly_memloc.training import changed_in_words, changes_since

    current = {}
    for name, result in results.items():
        changed = changes_since(result, study)
        if not changed:
            current[name] = result
            continue
        warnings.warn(
            f"{study.folder / name} is left out: it is a result of an earlier state, and "
            f"{changed_in_words(changed)}.",
            MemorizationWarning,
            stacklevel=3,
        )
    return current


def _import_result_class(folder: str) -> None:
    """Import another package's result class, which its report or evaluator does.

    Args:
        folder: The name of the result's folder.
    """
    if folder in Result.kinds:
        return
    evaluators: Registry[Any] = Registry("memloc.evaluators")
    for registry, name in (
        (REPORTS, folder),
        (evaluators, folder.replace("-", "_")),
    ):
        if name in registry.names():
            registry[name]


def _save_figure(figure: Figure, path: Path) -> None:
    with replacing(f"{path}.png") as partial:
        figure.savefig(partial, dpi=150, format="png")
    with replacing(f"{path}.svg") as partial:
        partial.write_text(to_svg(figure), encoding="utf-8")
