"""The split of a data set into the roles that a memorisation study needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightly_memloc.errors import MemorizationError

Indices = NDArray[np.int64]
ROLES = ("shared", "candidate", "independent", "external")


@dataclass(frozen=True, eq=False)
class MemorizationSplit:
    """Disjoint roles of the images of a data set [0].

    Encoder f is trained on shared and candidate images, encoder g on shared and
    independent ones; external images are seen by neither.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Attributes:
        n: Number of images in the data set.
        shared: Indices of the shared images, ascending.
        candidate: Indices of the candidates, ascending.
        independent: Indices of the independent images, ascending.
        external: Indices of the external images, ascending.

    Raises:
        MemorizationError: If an index is out of range or has more than one role.

    Examples:
        >>> from lightly_memloc import MemorizationSplit
        >>> split = MemorizationSplit.random(10, candidate=2, independent=2, external=3)
        >>> len(split.shared), len(split.trained_f)
        (3, 5)
    """

    n: int
    shared: Indices = field(default_factory=lambda: _indices([]))
    candidate: Indices = field(default_factory=lambda: _indices([]))
    independent: Indices = field(default_factory=lambda: _indices([]))
    external: Indices = field(default_factory=lambda: _indices([]))

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", int(self.n))
        seen: dict[int, str] = {}
        for role in ROLES:
            indices = _indices(getattr(self, role))
            object.__setattr__(self, role, indices)
            if len(indices) and (indices[0] < 0 or indices[-1] >= self.n):
                raise MemorizationError(
                    f"Role {role} has index {indices[0]} to {indices[-1]}, but the "
                    f"data set has {self.n} images."
                )
            overlaps = [int(i) for i in indices if int(i) in seen]
            if overlaps:
                first = overlaps[0]
                raise MemorizationError(
                    f"Image {first} is {seen[first]} and {role} at once, and "
                    f"{len(overlaps) - 1} more images overlap so. Give each image one "
                    "role, or the difference between the encoders means nothing."
                )
            seen |= dict.fromkeys(indices.tolist(), role)

    @classmethod
    def random(
        cls,
        n: int,
        candidate: int,
        independent: int = 0,
        external: int = 0,
        seed: int = 0,
        exclude: Sequence[int] = (),
    ) -> "MemorizationSplit":
        """Split at random; all images that get no other role are shared.

        Args:
            n: Number of images in the data set.
            candidate: Number of candidates.
            independent: Number of independent images.
            external: Number of external images.
            seed: Seed of the split.
            exclude: Indices that get no role, such as those of unreadable images.

        Returns:
            The split.

        Raises:
            MemorizationError: If a number is negative or they exceed the data set.
        """
        sizes = {
            "candidate": candidate,
            "independent": independent,
            "external": external,
        }
        excluded = _indices(exclude)
        if len(excluded) and not 0 <= excluded[0] <= excluded[-1] < n:
            raise MemorizationError(
                f"Cannot exclude {excluded[0]} to {excluded[-1]} from {n} images."
            )
        available = np.setdiff1d(np.arange(n), excluded)
        if min(sizes.values()) < 0 or sum(sizes.values()) > len(available):
            raise MemorizationError(
                "Cannot take "
                + ", ".join(f"{size} {role}" for role, size in sizes.items())
                + f" images out of {len(available)}."
            )
        order = np.random.default_rng(seed).permutation(available)
        starts = np.cumsum(list(sizes.values()))
        parts = np.split(order, starts)
        return cls(
            n,
            candidate=parts[0],
            independent=parts[1],
            external=parts[2],
            shared=parts[3],
        )

    @property
    def trained_f(self) -> Indices:
        """Indices that f is trained on: shared and candidate, ascending."""
        return np.sort(np.concatenate([self.shared, self.candidate]))

    @property
    def trained_g(self) -> Indices:
        """Indices that g is trained on: shared and independent, ascending."""
        return np.sort(np.concatenate([self.shared, self.independent]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the split to a JSON file."""
        document: dict[str, object] = {"n": self.n}
        document |= {role: getattr(self, role).tolist() for role in ROLES}
        Path(path).write_text(json.dumps(document) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "MemorizationSplit":
        """Read a split from a JSON file.

        Raises:
            MemorizationError: If the file holds no split.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            roles = {role: document[role] for role in ROLES}
            if not isinstance(document["n"], int) or not all(
                isinstance(indices, list) and all(type(i) is int for i in indices)
                for indices in roles.values()
            ):
                raise TypeError("n and the indices must be integers")
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise MemorizationError(
                f"{path} holds no split: expected a JSON object with n, "
                f"{', '.join(ROLES)}, as MemorizationSplit.save writes it ({error})."
            ) from error
        return cls(document["n"], **roles)


def _indices(values: ArrayLike) -> Indices:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise MemorizationError(f"Expected integer indices, got {array.dtype}.")
    unique = np.unique(array.astype(np.int64))
    if len(unique) != array.size:
        raise MemorizationError("An index occurs twice within one role.")
    return unique
