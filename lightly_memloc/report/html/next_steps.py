"""What to do next with a study."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightly_memloc.report.saved import Saved
from lightly_memloc.results import (
    AnalysisResult,
    ClassMemResult,
    CurationResult,
    InterventionResult,
    LayerMemResult,
    MembershipResult,
    SSLMemRunsResult,
    UnitMemResult,
)
from lightly_memloc.training import Run

# What they result in, why to make them, and the command.
_Measurements = Sequence[tuple[type[Any], str, str]]

_UNITS = (UnitMemResult, "Which units hold which images?", "unit-mem")
_PRUNING = (InterventionResult, "What are units of high UnitMem worth?", "prune")
_OF_RUN: _Measurements = (
    (LayerMemResult, "In which layers, and which images?", "layer-mem"),
    _UNITS,
    (ClassMemResult, "Are units tied to classes instead?", "class-mem"),
    (MembershipResult, "Which layers give members away?", "membership"),
    (AnalysisResult, "Do layers, images and units agree?", "analyze"),
    _PRUNING,
    (CurationResult, "List the most memorised images.", "curate"),
)
_OF_RUNS: _Measurements = (
    (SSLMemRunsResult, "How much holds over trainings?", "ssl-mem"),
    _PRUNING,
    (CurationResult, "Which images are memorised over runs?", "curate"),
)
_OF_OWN_ENCODER: _Measurements = (
    (LayerMemResult, "Does it align members better than others?", "layer-mem"),
    _UNITS,
)


@dataclass(frozen=True)
class Step:
    """Something to do next.

    Attributes:
        why: What it tells.
        command: The command that does it.
    """

    why: str
    command: str


def next_steps(saved: Saved) -> list[Step]:
    """Say what else can be measured of a study, and how.

    Args:
        saved: The study.
    """
    folder = _argument(saved.folder)
    if saved.run is None and saved.runs is None:
        return _of_own_encoder(saved)
    steps = [
        Step(why, f"lightly-memloc {command} {folder}")
        for why, command in _missing(saved, _OF_RUNS if saved.run is None else _OF_RUN)
    ]
    if saved.run is None:
        return steps
    curated = saved.first(CurationResult)
    if curated is not None and not curated.is_retrained:
        steps.append(
            Step(
                "Does training without the most memorised images help?",
                f"lightly-memloc curate {folder} --retrain",
            )
        )
    steps.append(
        Step(
            "Would other trainings memorise, too? Six pairs on random splits of all "
            "images, trained as this one:",
            _train_runs(saved.run),
        )
    )
    return steps


def _of_own_encoder(saved: Saved) -> list[Step]:
    """What else can be measured of an encoder of the user's own."""
    if "split" not in saved.source:
        return []
    given = dict(saved.source)
    data = _argument(Path(given.pop("data")))
    options = " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(value)}"
        for name, value in given.items()
        if name != "reference"
    )
    is_single = (saved.folder / "result.json").is_file()
    results = saved.folder.parent if is_single else saved.folder
    return [
        Step(
            why,
            f"lightly-memloc {command} {data} {options} "
            f"--out {_argument(results / command)}",
        )
        for why, command in _missing(saved, _OF_OWN_ENCODER)
    ]


def _missing(saved: Saved, measurements: _Measurements) -> Iterator[tuple[str, str]]:
    """Why to measure what was not measured yet, and by which command."""
    for result_class, why, command in measurements:
        if saved.first(result_class) is None:
            yield why, command


def _train_runs(run: Run) -> str:
    """The command that trains several pairs with the settings of a run."""
    config = run.config
    options = {
        "method": config.method,
        "backbone": config.backbone,
        "epochs": config.epochs,
        "batch-size": config.batch_size,
        "learning-rate": config.learning_rate,
        "input-size": config.input_size,
    }
    settings = " ".join(f"--{name} {value}" for name, value in options.items())
    data = _argument(Path(run.data))
    return f"lightly-memloc train {data} {settings} --runs 6 --out RUNS"


def _argument(path: Path) -> str:
    """A path as a command takes it, from the working directory if it is below."""
    below = path.resolve()
    if below.is_relative_to(Path.cwd()):
        path = below.relative_to(Path.cwd())
    return shlex.quote(str(path))
