"""What the intervening commands have in common: one run or several, and the result."""

from collections.abc import Callable
from pathlib import Path

from lightly_memloc.cli.output import save_and_show
from lightly_memloc.cli.subject import Subject
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import pool_trials
from lightly_memloc.evaluators import measure_layer_mem
from lightly_memloc.results import (
    InterventionResult,
    LayerMemResult,
    SSLMemRunsResult,
    find_result,
)
from lightly_memloc.training import Runs, measure_ssl_mem_runs


def intervene_and_show(
    source: str,
    name: str,
    intervene: Callable[[Subject, int], InterventionResult],
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Intervene in the encoder of a run, or of each of several, and show the result.

    Args:
        source: A run folder or a folder of runs.
        name: The intervention's name, after which the result's folder is called.
        intervene: Intervenes in a subject, with a seed.
        seed: The first seed; each run has one of its own.
        out: Folder for the result; by default one in the given folder.
        as_json: Whether JSON is printed.

    Raises:
        MemorizationError: If it is neither a run nor runs.
    """
    if Runs.is_runs(source):
        folders = {run: Path(source) / run for run in Runs(source).names}
        result = pool_trials(
            {
                run: intervene(Subject.resolve(str(folder)), seed + number)
                for number, (run, folder) in enumerate(folders.items())
            }
        )
    else:
        result = intervene(Subject.resolve(source), seed)
    save_and_show(result, as_json, out or Path(source) / name)


def layer_mem_of(
    subject: Subject, num_workers: int, device: str, views: int = 10
) -> LayerMemResult:
    """LayerMem of a subject: as `layer-mem` has measured it, or measured now.

    Raises:
        MemorizationError: If there are no roles or no reference encoder.
    """
    if subject.folder is not None:
        measured = find_result(subject.folder / "layer-mem", LayerMemResult)
        if measured is not None:
            return measured
    if subject.split is None or subject.g is None:
        raise MemorizationError(
            "Layers are ranked by LayerMem, which needs roles and a reference encoder."
        )
    return measure_layer_mem(
        subject.f,
        subject.g,
        subject.dataset,
        subject.split,
        subject.transform,
        n_views=views,
        num_workers=num_workers,
        device=device,
    )


def ssl_mem_of(
    runs: Runs, views: int, num_workers: int, device: str
) -> SSLMemRunsResult:
    """SSLMem over runs: as `ssl-mem` has measured it, or measured now."""
    measured = find_result(runs.folder / "ssl-mem", SSLMemRunsResult)
    return measured or measure_ssl_mem_runs(
        runs.folder, n_views=views, num_workers=num_workers, device=device
    )
