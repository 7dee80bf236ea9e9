"""The split of a data set into the roles of a memorisation study."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightly_memloc.data.dataset import fingerprint, targets_of
from lightly_memloc.errors import MemorizationError

Indices = NDArray[np.int64]
ROLES = ("shared", "candidate", "independent", "external")


@dataclass(frozen=True, eq=False)
class MemorizationSplit:
    """Disjoint roles of the images of a data set [0].

    Encoder f is trained on shared and candidate images, encoder g on shared and
    independent images. External images are unseen by both.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Attributes:
        n: Number of images in the data set.
        shared: Indices of the shared images, ascending, as int64.
        candidate: Indices of the candidates, ascending.
        independent: Indices of the independent images, ascending.
        external: Indices of the external images, ascending.
        fingerprint: Fingerprint of the data set that the split was made for, if known.

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
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", int(self.n))
        seen: dict[int, str] = {}
        for role in ROLES:
            indices = _indices(getattr(self, role))
            object.__setattr__(self, role, indices)
            if len(indices) and (indices[0] < 0 or indices[-1] >= self.n):
                raise MemorizationError(
                    f"Role {role} has indices {indices[0]} to {indices[-1]}, but the "
                    f"data set has {self.n} images."
                )
            overlaps = [int(i) for i in indices if int(i) in seen]
            if overlaps:
                first = overlaps[0]
                raise MemorizationError(
                    f"Image {first} is both {seen[first]} and {role}, and "
                    f"{len(overlaps) - 1} more images overlap in the same way. Give each "
                    "image exactly one role."
                )
            seen |= dict.fromkeys(indices.tolist(), role)

    @classmethod
    def random(
        cls,
        n: int,
        candidate: int,
        independent: int = 0,
        external: int = 0,
        seed: int | Sequence[int] = 0,
        exclude: Sequence[int] = (),
        targets: ArrayLike | None = None,
        fingerprint: str | None = None,
    ) -> "MemorizationSplit":
        """Split at random. Images without another role are shared.

        Args:
            n: Number of images in the data set.
            candidate: Number of candidates.
            independent: Number of independent images.
            external: Number of external images.
            seed: Random seed of the split, or several numbers that form one.
            exclude: Indices without a role, such as those of unreadable images.
            targets: Class of each image, shape ``(n,)``. If given, the split is
                stratified: each role has a proportional number of images of each class,
                up to one or two images.
            fingerprint: Fingerprint of the data set.

        Returns:
            The split.

        Raises:
            MemorizationError: If a number is negative, the numbers exceed the images
                available, or an excluded index is out of range.
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
        rng = np.random.default_rng(seed)
        order = rng.permutation(available)
        if targets is None:
            parts = np.split(order, np.cumsum(list(sizes.values())))
        else:
            shared = len(available) - sum(sizes.values())
            parts = _dealt(order, np.asarray(targets), [*sizes.values(), shared], rng)
        return cls(
            n,
            candidate=parts[0],
            independent=parts[1],
            external=parts[2],
            shared=parts[3],
            fingerprint=fingerprint,
        )

    @classmethod
    def of_dataset(
        cls,
        dataset: Any,
        candidate: int | None = None,
        independent: int | None = None,
        external: int | None = None,
        seed: int | Sequence[int] = 0,
        exclude: Sequence[int] = (),
    ) -> "MemorizationSplit":
        """Split a data set at random, stratified by class if its classes are known.

        The split stores the fingerprint of the data set and is refused for any other.

        Args:
            dataset: Map-style data set of images without a transform of its own.
            candidate: Number of candidates; a tenth of the images by default.
            independent: Number of independent images; a tenth by default.
            external: Number of external images; a tenth by default.
            seed: Random seed of the split, or several numbers that form one.
            exclude: Indices without a role, such as those of unreadable images.

        Returns:
            The split.

        Raises:
            MemorizationError: If a number is negative, the numbers exceed the images
                available, or an excluded index is out of range.
        """
        tenth = len(dataset) // 10
        return cls.random(
            len(dataset),
            candidate=tenth if candidate is None else candidate,
            independent=tenth if independent is None else independent,
            external=tenth if external is None else external,
            seed=seed,
            exclude=exclude,
            targets=targets_of(dataset),
            fingerprint=fingerprint(dataset),
        )

    def refuse_other(self, dataset: Any) -> None:
        """Check that the split was made for a data set.

        Args:
            dataset: Map-style data set of images.

        Raises:
            MemorizationError: If the number of images or the fingerprint differs.
        """
        if self.n != len(dataset):
            raise MemorizationError(
                f"The split was made for {self.n} images, but the data set has "
                f"{len(dataset)}. Use the data set that the split was made for, or make a "
                "new split."
            )
        if self.fingerprint is None:
            return
        found = fingerprint(dataset)
        if found != self.fingerprint:
            raise MemorizationError(
                f"The split was made for another data set of {self.n} images: its "
                f"fingerprint is {self.fingerprint}, but that of this data set is "
                f"{found}. Use the data set that the split was made for, or make a new "
                "split."
            )

    @property
    def trained_f(self) -> Indices:
        """Indices of the training images of f: shared and candidate, ascending."""
        return np.sort(np.concatenate([self.shared, self.candidate]))

    @property
    def trained_g(self) -> Indices:
        """Indices of the training images of g: shared and independent, ascending."""
        return np.sort(np.concatenate([self.shared, self.independent]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the split to a JSON file."""
        document: dict[str, object] = {"n": self.n, "fingerprint": self.fingerprint}
        document |= {role: getattr(self, role).tolist() for role in ROLES}
        Path(path).write_text(json.dumps(document) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "MemorizationSplit":
        """Read a split from a JSON file.

        Raises:
            MemorizationError: If the file does not contain a split.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            roles = {role: document[role] for role in ROLES}
            known = document.get("fingerprint")
            if not isinstance(known, str | None):
                raise TypeError("the fingerprint must be a string")
            if not isinstance(document["n"], int) or not all(
                isinstance(indices, list) and all(type(i) is int for i in indices)
                for indices in roles.values()
            ):
                raise TypeError("n and the indices must be integers")
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise MemorizationError(
                f"{path} does not contain a split: expected a JSON object with n, "
                f"{', '.join(ROLES)}, as written by MemorizationSplit.save ({error})."
            ) from error
        return cls(document["n"], **roles, fingerprint=known)


def _dealt(
    order: Indices, targets: Indices, sizes: list[int], rng: np.random.Generator
) -> list[Indices]:
    """Deal images, sorted by class, to parts in evenly spaced turns."""
    by_class = order[np.argsort(targets[order], kind="stable")]
    turns = [(np.arange(size) + rng.random()) / size for size in sizes]
    part = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(np.concatenate(turns))]
    return [by_class[part == number] for number in range(len(sizes))]


def _indices(values: ArrayLike) -> Indices:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise MemorizationError(f"Expected integer indices, got {array.dtype}.")
    unique = np.unique(array.astype(np.int64))
    if len(unique) != array.size:
        raise MemorizationError("An index occurs more than once in a role.")
    return unique
