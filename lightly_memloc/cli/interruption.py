"""What a command says when a signal ends it."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightly_memloc.runtime.interruption import Interrupted, received

_NOTHING = "Nothing was saved."


class Resumable(Interrupted):
    """An interruption after which a command can resume.

    Args:
        number: Number of the signal.
        kept: A sentence that says what is kept.
        options: Options to add to the command that resumes.
    """

    def __init__(self, number: int, kept: str, options: tuple[str, ...] = ()) -> None:
        super().__init__(number)
        self.kept = kept
        self.options = options


@contextmanager
def resumable(kept: Callable[[], str | None], *options: str) -> Iterator[None]:
    """Say what a command keeps if a signal ends it.

    Args:
        kept: Returns a sentence that says what is kept, or None if nothing is.
        options: Options to add to the command that resumes.

    Raises:
        Resumable: If the command is interrupted and something is kept.
    """
    try:
        yield
    except Resumable:
        raise
    except (Interrupted, Exception):
        # An error may follow from a signal that processes which load images received.
        number = received()
        if number is None:
            raise
        said = kept()
        if said is None:
            raise Interrupted(number) from None
        raise Resumable(number, said, options) from None


def explain(interruption: Interrupted) -> str:
    """Say what was kept, and which command resumes.

    Args:
        interruption: The interruption.
    """
    if not isinstance(interruption, Resumable):
        return _NOTHING
    given = [
        argument for argument in sys.argv[1:] if argument not in interruption.options
    ]
    command = shlex.join(["lightly-memloc", *given, *interruption.options])
    return f"{interruption.kept} To resume: {command}"


def kept_of_measurement(state: Path | None) -> str | None:
    """Say what is kept of a measurement that was interrupted.

    Args:
        state: Its state file, or the folder of its states; None if it has none.
    """
    if state is None or not state.exists():
        return None
    return f"{state} keeps what was measured."


def kept_of_trainings(folder: Path) -> str | None:
    """Say what a folder keeps of trainings that were interrupted.

    Args:
        folder: A run folder, or a folder of runs.
    """
    trained = len(list(folder.rglob("[fg].ckpt")))
    kept = [] if not trained else [f"{trained} trained encoder{'s'[: trained != 1]}"]
    for state in sorted(folder.rglob("[fg].state.ckpt")):
        name = state.relative_to(folder).as_posix().removesuffix(".state.ckpt")
        kept.append(f"{name} up to epoch {_epochs(state)}")
    return f"{folder} keeps {' and '.join(kept)}." if kept else None


def _epochs(state: Path) -> int:
    """Number of complete epochs of a training's state."""
    import torch

    document = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
    return int(document["epoch"]) + 1
