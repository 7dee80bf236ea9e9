"""What the measuring commands have in common: study, state file, result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightly_memloc.cli.output import save_and_show
from lightly_memloc.cli.subject import Subject
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import EVALUATORS
from lightly_memloc.evaluators.evaluator import result_folder


def measure_and_show(
    name: str,
    subject: Subject,
    *,
    layers: list[str] | None,
    views: int,
    batch_size: int,
    num_workers: int,
    seed: int,
    device: str,
    out: Path | None,
    resume: bool,
    skip_unreadable: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a subject, save the result and show it.

    Args:
        name: The evaluator's name.
        subject: What is measured.
        layers: Names, globs or kinds of layers; None for all.
        views: Views per image.
        batch_size: Images per batch.
        num_workers: Processes that load images.
        seed: Seed of all that is random.
        device: The device.
        out: Folder for the result; by default one in the run folder, if it is a run.
        resume: Whether an interrupted measurement is gone on with.
        skip_unreadable: Whether unreadable images are left out.
        as_json: Whether JSON is printed.
        options: The evaluator's own arguments.

    Raises:
        MemorizationError: If there is nowhere to resume from, or the measurement fails.
    """
    folder = out or (subject.folder and subject.folder / result_folder(name))
    result = EVALUATORS[name](
        subject.f,
        subject.study(views, seed),
        subject.g,
        layers=layers or "auto",
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        skip_unreadable=skip_unreadable,
        state_file=_state_file(folder, resume),
        **options,
    ).run()
    if subject.source:
        result = replace(result, settings={**result.settings, "source": subject.source})
    save_and_show(result, as_json, folder)


def _state_file(folder: Path | None, resume: bool) -> Path | None:
    if folder is None:
        if resume:
            raise MemorizationError(
                "--resume needs --out: the folder in which the interrupted measurement "
                "kept its state."
            )
        return None
    state_file = folder / "state.pt"
    if resume and not state_file.is_file():
        raise MemorizationError(
            f"Nothing to resume: {folder} holds no interrupted measurement."
        )
    if not resume:
        state_file.unlink(missing_ok=True)
    return state_file
