"""State files, from which an interrupted measurement resumes."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime.distributed import rank_and_world_size
from lightly_memloc.runtime.files import replacing

# Writing takes at most a twentieth of the time: the pause after a write is this many
# times its duration.
_REST = 20


class StateFile:
    """The accumulated state of a measurement in a file, rewritten as it proceeds.

    In a distributed run, each process writes its own file, with the rank in its name.

    Args:
        path: The file.

    Attributes:
        found: The state of the interrupted measurement; None if there is none.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = self._named = Path(path)
        self.found: dict[str, Any] | None = None
        self._fingerprint: dict[str, Any] = {}
        self._next_write = 0.0

    def open(self, fingerprint: Mapping[str, Any]) -> int:
        """Look for an interrupted measurement.

        Args:
            fingerprint: Values by name that must match those of the state.

        Returns:
            Number of the batch to start with.

        Raises:
            MemorizationError: If the file belongs to another measurement or is not a
                state file.
        """
        rank, world_size = rank_and_world_size()
        if world_size > 1:
            self.path = self._named.with_name(f"{self._named.name}.rank{rank}")
        self.found = None
        self._fingerprint = {**fingerprint, "processes": world_size}
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True)
            found, batch = dict(state["fingerprint"]), int(state["batch"])
            accumulated = dict(state["accumulated"])
        except Exception as error:
            raise MemorizationError(
                f"{self.path} is not the state of a measurement ({error}). Choose another "
                "file, or delete this one to start over."
            ) from error
        for name, value in self._fingerprint.items():
            if found.get(name) != value:
                raise MemorizationError(
                    f"{self.path} is the state of another measurement, which differs in "
                    f"{name}. Choose another file, or delete this one to start over."
                )
        self.found = accumulated
        return batch

    @contextmanager
    def restoring(self) -> Iterator[dict[str, Any]]:
        """Provide the state that was found, and explain why it cannot be restored.

        Raises:
            MemorizationError: If it lacks what this version needs.
        """
        assert self.found is not None
        try:
            yield self.found
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise MemorizationError(
                f"{self.path} is not a state that this version can resume from ({error}). "
                "Delete it to start over (on the command line: omit --resume)."
            ) from error

    def keep(
        self,
        batch: int,
        accumulated: Callable[[], dict[str, Any]],
        *,
        at_once: bool = False,
    ) -> None:
        """Write the state before a batch, unless the last write was too recent.

        Args:
            batch: Number of the batch.
            accumulated: Returns the state accumulated before the batch.
            at_once: Whether to write however recent the last write was.
        """
        start = time.monotonic()
        if start < self._next_write and not at_once:
            return
        state = {
            "fingerprint": self._fingerprint,
            "batch": batch,
            "accumulated": accumulated(),
        }
        # An open file fails as files do, and says whether the disk is full.
        with replacing(self.path) as partial, partial.open("wb") as file:
            torch.save(state, file)
        end = time.monotonic()
        self._next_write = end + _REST * (end - start)

    def remove(self) -> None:
        """Remove the file after the measurement is complete."""
        self.path.unlink(missing_ok=True)
