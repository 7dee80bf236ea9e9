"""State files: a measurement that was interrupted resumes where it stopped."""

import time
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime.distributed import rank_and_world_size
from lightly_memloc.runtime.files import replacing

# Between two writes passes this many times what the last one took: writing costs at
# most a twentieth of the time, however large the state is.
_REST = 20


class StateFile:
    """A file with what a measurement has accumulated, replaced as it proceeds.

    In a distributed run each process has a file of its own, the rank in its name.

    Args:
        path: The file.

    Attributes:
        found: What had been accumulated, if an interrupted measurement was found.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = self._named = Path(path)
        self.found: dict[str, Any] | None = None
        self._fingerprint: dict[str, Any] = {}
        self._next_write = 0.0

    def open(self, fingerprint: Mapping[str, Any]) -> int:
        """Look for an interrupted measurement.

        Args:
            fingerprint: What must be equal for a state to belong to this measurement,
                by name.

        Returns:
            The batch to begin with.

        Raises:
            MemorizationError: If the file belongs to another measurement, or is not a
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
            found, batch = state["fingerprint"], int(state["batch"])
        except Exception as error:
            raise MemorizationError(
                f"{self.path} is not the state of a measurement ({error}). Name another "
                "file, or delete it to begin anew."
            ) from error
        for name, value in self._fingerprint.items():
            if found.get(name) != value:
                raise MemorizationError(
                    f"{self.path} is the state of another measurement: it differs in "
                    f"{name}. Name another file, or delete it to begin anew."
                )
        self.found = state["accumulated"]
        return batch

    def keep(self, batch: int, accumulated: Callable[[], dict[str, Any]]) -> None:
        """Write the state before a batch, unless the last write was just now.

        Args:
            batch: Number of the batch.
            accumulated: Returns what has been accumulated before it.
        """
        start = time.monotonic()
        if start < self._next_write:
            return
        state = {
            "fingerprint": self._fingerprint,
            "batch": batch,
            "accumulated": accumulated(),
        }
        with replacing(self.path) as partial:
            torch.save(state, partial)
        end = time.monotonic()
        self._next_write = end + _REST * (end - start)

    def remove(self) -> None:
        """Remove the file: the measurement is complete."""
        self.path.unlink(missing_ok=True)
