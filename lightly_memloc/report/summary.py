"""What a page says first: measured, found, what not to conclude, and what to do next."""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_memloc.errors import MemorizationError
from lightly_memloc.report.report import LEVEL, REPORTS, Step
from lightly_memloc.report.saved import Saved

if TYPE_CHECKING:
    from lightly_memloc.training import Run


@dataclass(frozen=True)
class Advice:
    """Something to do next.

    Attributes:
        question: The question that it answers.
        command: The command to run.
    """

    question: str
    command: str


@dataclass(frozen=True)
class Summary:
    """A study in plain words.

    Attributes:
        measured: What was measured.
        found: What was found, significant or not.
        limits: What cannot be concluded.
        next_steps: What to do next.
    """

    measured: list[str]
    found: list[str]
    limits: list[str]
    next_steps: list[Advice]

    @classmethod
    def of(cls, saved: Saved) -> "Summary":
        """Summarise the results of a folder.

        Args:
            saved: What was read from the folder.
        """
        return cls(
            list(_measured(saved)),
            list(_found(saved)),
            list(dict.fromkeys(_limits(saved))),
            list(_next_steps(saved)),
        )


def _measured(saved: Saved) -> Iterator[str]:
    if saved.run is not None:
        config, split = saved.run.config, saved.run.split
        yield (
            f"Two encoders ({config.backbone}, {config.method}, {config.epochs} epochs): "
            f"f was trained on {len(split.shared)} shared and {len(split.candidate)} "
            f"candidate images, g on the shared and {len(split.independent)} independent "
            f"ones. {len(split.external)} external images were unseen by both."
        )
    if saved.runs is not None:
        yield f"{len(saved.runs.names)} runs on random splits of one data set."
    if "checkpoint" in saved.source:
        yield _custom_encoder(saved.source)
    yield from filter(None, (report.measured() for report in saved.reports.values()))


def _custom_encoder(source: dict[str, str]) -> str:
    """Say which encoder, which images and which views were measured."""
    if "holdout" in source:
        images = f"members: {source['members']}, held-out images: {source['holdout']}"
    else:
        images = f"images: {source.get('members') or source.get('data')}"
        if "split" in source:
            images += f", with the roles of {source['split']}"
    views = ""
    if "transform" in source:
        views = f" Views: {source['transform']}, {source['input_size']} pixels."
    return (
        f"The encoder {source['model']} with the weights of {source['checkpoint']} "
        f"({images}).{views}"
    )


def _found(saved: Saved) -> Iterator[str]:
    """The words of each result, with its name where there are several of a kind."""
    kinds = Counter(result.kind for result in saved.results.values())
    for name, report in saved.reports.items():
        words = report.words()
        if words:
            yield f"{name}: {words}" if kinds[report.result.kind] > 1 else words


def _limits(saved: Saved) -> Iterator[str]:
    if saved.run is not None:
        yield (
            "This is one pair of trainings: intervals are over images and say nothing "
            "about other trainings, seeds or methods."
        )
    if saved.runs is not None:
        yield (
            f"These are {len(saved.runs.names)} trainings of one method on one data set: "
            "intervals over runs say nothing about other methods or data."
        )
    reports = saved.reports.values()
    tested = next(filter(None, (report.tested_layers for report in reports)), 0)
    if tested:
        yield (
            f"p-values are adjusted for the {tested} layers tested: if the encoder "
            "memorised nothing, the chance of finding a layer by any one estimate is "
            f"{LEVEL:.0%}. Intervals are those of each layer by itself. Where nothing is "
            "found, they show how large an effect may have been missed."
        )
    for report in reports:
        yield from report.limits()
        skipped = report.result.settings.get("skipped", [])
        if skipped:
            yield f"{len(skipped)} images could not be read and are left out."


def _next_steps(saved: Saved) -> Iterator[Advice]:
    """What else can be measured of a study, and how."""
    if saved.run is None and saved.runs is None:
        if {"split", "holdout"} & saved.source.keys():
            yield from _of_custom_encoder(saved)
        return
    folder = _argument(saved.folder)
    for step in _steps(saved, "runs" if saved.run is None else "run"):
        command, *options = step.command.split()
        words = ["lightly-memloc", command, folder, *options]
        yield Advice(step.question, " ".join(words))
    if saved.run is not None:
        yield Advice(
            "Would other trainings memorise, too? Train six pairs like this one, on "
            "random splits of all images:",
            _train_runs(saved.run),
        )


def _steps(saved: Saved, study: str) -> Iterator[Step]:
    """What was not measured yet, then what the results suggest."""
    kinds = {result.kind for result in saved.results.values()}
    lacking = []
    for kind in REPORTS.names():
        try:
            lacking += [REPORTS[kind]] if kind not in kinds else []
        except MemorizationError:
            # The package of a result that this study lacks cannot be imported.
            continue
    for report_class in sorted(lacking, key=lambda of: of.rank):
        yield from (step for step in report_class.made_by if step.study == study)
    for report in saved.reports.values():
        yield from (step for step in report.next_steps() if step.study == study)


def _of_custom_encoder(saved: Saved) -> Iterator[Advice]:
    given = dict(saved.source)
    data = _argument(Path(given.pop("data"))) + " " if "data" in given else ""
    options = " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(value)}"
        for name, value in given.items()
        if name != "reference"
    )
    is_single = (saved.folder / "result.json").is_file()
    results = saved.folder.parent if is_single else saved.folder
    for step in _steps(saved, "encoder"):
        out = _argument(results / step.command)
        command = f"lightly-memloc {step.command} {data}{options} --out {out}"
        yield Advice(step.question, command)


def _train_runs(run: "Run") -> str:
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
    """A path as a command takes it, relative to the working directory if below it."""
    below = path.resolve()
    if below.is_relative_to(Path.cwd()):
        path = below.relative_to(Path.cwd())
    return shlex.quote(str(path))
