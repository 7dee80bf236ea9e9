"""State files: a measurement that was killed goes on where it was."""

import hashlib
import os
import time
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.evaluators.ranks import rank_and_world_size

if TYPE_CHECKING:
    from lightly_memloc.evaluators.evaluator import Evaluator

# Between two writes passes this many times what the last one took: writing costs at
# most a twentieth of the time, however large the state is.
_REST = 20


class StateFile:
    """A file with what a measurement has accumulated, replaced as it goes on.

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

    def open(self, evaluator: "Evaluator[Any]") -> int:
        """Look for an interrupted measurement.

        Args:
            evaluator: The evaluator that measures.

        Returns:
            The batch to begin with.

        Raises:
            MemorizationError: If the file is that of another measurement, or is none.
        """
        rank, world_size = rank_and_world_size()
        if world_size > 1:
            self.path = self._named.with_name(f"{self._named.name}.rank{rank}")
        self.found = None
        self._fingerprint = _fingerprint(evaluator) | {"processes": world_size}
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, weights_only=True)
            fingerprint, batch = state["fingerprint"], int(state["batch"])
        except Exception as error:
            raise MemorizationError(
                f"{self.path} is not the state of a measurement ({error}). Name another "
                "file, or delete it to begin anew."
            ) from error
        for name, value in self._fingerprint.items():
            if fingerprint.get(name) != value:
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
            accumulated: Gives what has been accumulated before it.
        """
        start = time.monotonic()
        if start < self._next_write:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        state = {
            "fingerprint": self._fingerprint,
            "batch": batch,
            "accumulated": accumulated(),
        }
        torch.save(state, partial)
        os.replace(partial, self.path)
        end = time.monotonic()
        self._next_write = end + _REST * (end - start)

    def remove(self) -> None:
        """Remove the file: the measurement is complete."""
        self.path.unlink(missing_ok=True)


def _fingerprint(evaluator: "Evaluator[Any]") -> dict[str, Any]:
    """What must be the same for a state to be that of this measurement."""
    indices = evaluator.indices
    weights = (
        value
        for encoder in evaluator.encoders.values()
        for value in encoder.state_dict().values()
    )
    try:
        first_views = [evaluator.views[int(indices[0])][0]]
    except UnreadableImageError:
        first_views = []
    return {
        "settings": repr(evaluator.settings()),
        "batch_size": evaluator.batch_size,
        "images": digest([torch.tensor(indices)]),
        "views": digest(first_views),
        "weights": digest(weights),
    }


def digest(tensors: Any) -> str:
    """Digest of tensors: of their types, shapes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()
