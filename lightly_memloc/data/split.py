"""The split of a data set into the roles of a memorisation study."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightly_memloc.data.dataset import fingerprint, groups_of, is_missing, targets_of
from lightly_memloc.data.draw import draw_groups, draw_images
from lightly_memloc.data.indices import image_indices
from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import replacing

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
        groups: Group of each image of the data set, such as its patient, scene or burst,
            shape ``(n,)``, as int64 or strings; None if unknown. Images of a group are
            not independent of each other, so that a group has one role.
        strata: Stratum of each image within which the roles were assigned, such as its
            class, shape ``(n,)``, as int64; None if they were not assigned within
            strata. The number after the last class stands for unknown classes.

    Raises:
        MemorizationError: If an index is out of range or has more than one role, or a
            group has more than one role.

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
    groups: NDArray[Any] | None = None
    strata: Indices | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", int(self.n))
        seen: dict[int, str] = {}
        for role in ROLES:
            indices = _indices(getattr(self, role), self.n)
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
        if self.groups is not None:
            object.__setattr__(self, "groups", _groups(self.groups, self.n))
            self._refuse_divided_groups()
        if self.strata is not None:
            object.__setattr__(self, "strata", _strata(self.strata, self.n))

    def _refuse_divided_groups(self) -> None:
        role_of = np.full(self.n, len(ROLES))
        for number, role in enumerate(ROLES):
            role_of[getattr(self, role)] = number
        chosen = np.flatnonzero(role_of < len(ROLES))
        groups = np.asarray(self.groups)[chosen]
        _, first, code = np.unique(groups, return_index=True, return_inverse=True)
        divided = np.flatnonzero(role_of[chosen] != role_of[chosen[first[code]]])
        if len(divided):
            one, other = chosen[first[code[divided[0]]]], chosen[divided[0]]
            raise MemorizationError(
                f"Group {groups[divided[0]]} has images of two roles: image {one} is "
                f"{ROLES[role_of[one]]} and image {other} is {ROLES[role_of[other]]}, and "
                f"{len(np.unique(code[divided])) - 1} more groups are divided. An encoder "
                "that was trained on one image of a group knows the others in part, so "
                "that roles must not share a group. Draw a split with groups=... "
                "(--groups), or give divided groups no role."
            )

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
        groups: ArrayLike | None = None,
    ) -> "MemorizationSplit":
        """Split at random. Images without another role are shared.

        With groups, whole groups are drawn. The sizes of the roles are then as near to
        the numbers asked for as whole groups allow.

        Args:
            n: Number of images in the data set.
            candidate: Number of candidates.
            independent: Number of independent images.
            external: Number of external images.
            seed: Random seed of the split, or several numbers that form one.
            exclude: Indices without a role, such as those of unreadable images.
            targets: Class of each image, shape ``(n,)``. If given, the split is
                stratified: each role has a proportional number of images of each class,
                up to one or two images; with groups, up to a few groups, each of which
                counts for the class of most of its images. None, NaN and other missing
                classes form a class of their own.
            fingerprint: Fingerprint of the data set.
            groups: Group of each image, such as its patient, scene or burst, shape
                ``(n,)``. A group is never divided between roles.

        Returns:
            The split, with ``groups`` and, if there are targets, ``strata``.

        Raises:
            MemorizationError: If a number is negative, the numbers exceed the images
                available, an excluded index is out of range, or whole groups miss the
                size of a role by more than a quarter.
        """
        sizes = {
            "candidate": candidate,
            "independent": independent,
            "external": external,
        }
        excluded = _indices(exclude, n)
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
        sizes["shared"] = len(available) - sum(sizes.values())
        strata = None if targets is None else _strata(targets, n, "targets")
        group_of = None if groups is None else _groups(groups, n)
        if group_of is not None and len(order):
            parts = draw_groups(order, group_of, strata, sizes, rng)
        elif strata is not None:
            parts = draw_images(order, strata, list(sizes.values()), rng)
        else:
            parts = np.split(order, np.cumsum(list(sizes.values()))[:-1])
        return cls(
            n,
            **dict(zip(sizes, parts, strict=True)),
            fingerprint=fingerprint,
            groups=group_of,
            strata=strata,
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
        groups: ArrayLike | None = None,
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
            groups: Group of each image, which is never divided between roles, as in
                :meth:`random`. By default, the groups that the data set lists in its
                attribute ``groups``, if there are any.

        Returns:
            The split.

        Raises:
            MemorizationError: If a number is negative, the numbers exceed the images
                available, an excluded index is out of range, or whole groups miss the
                size of a role by more than a quarter.
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
            groups=groups_of(dataset) if groups is None else groups,
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
        document = {"n": self.n, "fingerprint": self.fingerprint} | self._roles()
        with replacing(path) as partial:
            partial.write_text(json.dumps(document) + "\n", encoding="utf-8")

    def digest(self) -> str:
        """Return the SHA-256 of the roles, groups and strata of all images."""
        return hashlib.sha256(json.dumps(self._roles()).encode()).hexdigest()

    def _roles(self) -> dict[str, object]:
        document = {"n": self.n} | {
            role: getattr(self, role).tolist() for role in ROLES
        }
        for name in ("groups", "strata"):
            known = getattr(self, name)
            if known is not None:
                document[name] = known.tolist()
        return document

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
            groups, strata = document.get("groups"), document.get("strata")
            for name, values in (("groups", groups), ("strata", strata)):
                if not isinstance(values, list | None):
                    raise TypeError(f"{name} must be a list")
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise MemorizationError(
                f"{path} does not contain a split: expected a JSON object with n, "
                f"{', '.join(ROLES)}, as written by MemorizationSplit.save ({error})."
            ) from error
        return cls(
            document["n"], **roles, fingerprint=known, groups=groups, strata=strata
        )


def roles_by_index(split: MemorizationSplit) -> dict[int, str]:
    """Return the role of each image that has one, by index."""
    return {index: role for role in ROLES for index in getattr(split, role).tolist()}


def _groups(values: Any, n: int) -> NDArray[Any]:
    """Groups as int64, or as strings if any of them is not an integer."""
    listed = _listed(values, n, "groups")
    missing = [index for index, value in enumerate(listed) if is_missing(value)]
    if missing:
        raise MemorizationError(
            f"Image {missing[0]} and {len(missing) - 1} more have no group. Give each "
            "image that belongs to no group a group of its own."
        )
    if all(isinstance(value, int) and not isinstance(value, bool) for value in listed):
        return np.array(listed, dtype=np.int64)
    return np.array([str(value) for value in listed])


def _strata(values: Any, n: int, name: str = "strata") -> Indices:
    """Classes as they are if they are integers, else numbered in ascending order."""
    listed = _listed(values, n, name)
    if all(isinstance(value, int) for value in listed):
        return np.array(listed, dtype=np.int64)
    known = sorted({value for value in listed if not is_missing(value)}, key=_order)
    number = {value: position for position, value in enumerate(known)}
    return np.array(
        [len(known) if is_missing(value) else number[value] for value in listed],
        dtype=np.int64,
    )


def _listed(values: Any, n: int, name: str) -> list[Any]:
    """One plain value per image."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    listed = [of.item() if isinstance(of, np.generic) else of for of in plain]
    if len(listed) != n or any(isinstance(value, list) for value in listed):
        raise MemorizationError(
            f"Expected {name} to have one value for each of {n} images, got an array of "
            f"shape {np.shape(values)}."
        )
    return listed


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers in their order, and all else in that of its text."""
    is_number = isinstance(value, int | float)
    return (not is_number, value if is_number else str(value))


def _indices(values: ArrayLike, n: int | None = None) -> Indices:
    array = np.asarray(values)
    if n is not None and array.dtype == bool and array.ndim == 1:
        return image_indices(array, n, "a role")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise MemorizationError(f"Expected integer indices, got {array.dtype}.")
    unique = np.unique(array.astype(np.int64))
    if len(unique) != array.size:
        raise MemorizationError("An index occurs more than once in a role.")
    return unique
