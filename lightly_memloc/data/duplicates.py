"""Copies of an image that have different roles in a study."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from lightly_memloc.data.dataset import filename_of, read_image
from lightly_memloc.data.signature import SIDE, Signature, signature_of
from lightly_memloc.data.split import MemorizationSplit, roles_by_index
from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    UnreadableImageError,
)
from lightly_memloc.runtime import generators_restored, seed_generators, tracked

Array = NDArray[np.float32]

# Correlation of two thumbnails, and of their gradients, from which on two images are
# near-duplicates. Each alone has false alarms: horizons correlate in brightness, and
# white frames in gradients. On 60,000 images of CIFAR-10 and the embedded digits, the
# pairs that pass both are copies by eye.
_BRIGHTNESS, _GRADIENT = 0.93, 0.85
# A few pixels cannot tell a copy from a similar image.
_GRADIENT_OF_SMALL = 0.995
# Correlation of coarse gradients from which on two images are compared in full.
_COARSE = 0.8
# Correlations held at a time, whatever the number of images.
_BLOCK = 1 << 23
_SHOWN = 5


@dataclass(frozen=True)
class Duplicate:
    """Two images of different roles that show the same.

    Attributes:
        indices: Indices of the two images.
        filenames: Their file names.
        roles: Their roles.
        identical: Whether their pixels are equal. Otherwise one is a near-duplicate of
            the other, such as a resized or recompressed copy.
    """

    indices: tuple[int, int]
    filenames: tuple[str, str]
    roles: tuple[str, str]
    identical: bool

    def to_dict(self) -> dict[str, Any]:
        """Return file names, roles and whether the images are identical."""
        return {
            "filenames": list(self.filenames),
            "roles": list(self.roles),
            "identical": self.identical,
        }

    def __str__(self) -> str:
        (one, other), (role, other_role) = self.filenames, self.roles
        return f"{one} ({role}) and {other} ({other_role})"


class DuplicateSearch:
    """Search for copies of an image in different roles, while images are read.

    Args:
        dataset: Map-style data set of images.
        role_of: Role of each image that is read, by index.
        allow_duplicates: Whether identical images in different roles are reported
            instead of refused.

    Attributes:
        is_needed: Whether the images have different roles; others are not compared.
    """

    def __init__(
        self, dataset: Any, role_of: Mapping[int, str], allow_duplicates: bool = False
    ) -> None:
        self._dataset = dataset
        self._role_of = role_of
        self.is_needed = len(set(role_of.values())) > 1
        self._allow_duplicates = allow_duplicates
        self._signatures: dict[int, Signature] = {}
        self._first: dict[str, dict[str, int]] = {}

    def add(
        self, indices: Sequence[int], signatures: Sequence[Signature | None]
    ) -> None:
        """Add images; those without a role or a signature are left out.

        Args:
            indices: Indices of the images.
            signatures: Their signatures.

        Raises:
            MemorizationError: If an image is identical to one of another role, unless
                that is allowed.
        """
        if not self.is_needed:
            return
        for index, signature in zip(indices, signatures, strict=True):
            if index not in self._role_of or signature is None:
                continue
            twin = self._twin(index, signature)
            if twin is not None and not self._allow_duplicates:
                raise _refusal([twin])
            self._signatures[index] = signature

    def found(self) -> list[Duplicate]:
        """Return the duplicates among the images added, identical ones first.

        An image is paired with one image of each role that it is identical to, and with
        the image that it resembles most among its near-duplicates.
        """
        self._first = {}
        twins = [
            self._twin(index, self._signatures[index])
            for index in sorted(self._signatures)
        ]
        identical = [twin for twin in twins if twin is not None]
        known = {twin.indices for twin in identical}
        near = [pair for pair in self._near() if pair.indices not in known]
        return identical + near

    def copies(self) -> dict[int, int]:
        """Return the identical images of one role: the index of the first, by index."""
        first: dict[tuple[str, str], int] = {}
        of_image = {}
        for index in sorted(self._signatures):
            key = (self._role_of[index], self._signatures[index].digest)
            of_image[index] = first.setdefault(key, index)
        return {index: of for index, of in of_image.items() if index != of}

    def report(self) -> list[Duplicate]:
        """Warn of the duplicates among the images added, and return them.

        Raises:
            MemorizationError: If images of different roles are identical, unless that
                is allowed.
        """
        return _reported(self.found(), self._allow_duplicates)

    def state(self) -> dict[str, Any]:
        """Return the signatures of the images added, in plain types and tensors."""
        thumbnails = [of.thumbnail for of in self._signatures.values()]
        stacked = np.array(thumbnails, dtype=np.float16).reshape(-1, SIDE, SIDE)
        return {
            "index": list(self._signatures),
            "digest": [of.digest for of in self._signatures.values()],
            "is_small": [of.is_small for of in self._signatures.values()],
            "thumbnail": torch.from_numpy(stacked),
        }

    def merge(self, *states: dict[str, Any]) -> None:
        """Add the images of other searches, such as those of other processes.

        Args:
            states: What :meth:`state` of the other searches returned.

        Raises:
            MemorizationError: If images of different roles are identical, unless that
                is allowed.
        """
        for state in states:
            columns = (state["digest"], state["thumbnail"].numpy(), state["is_small"])
            self.add(state["index"], list(map(Signature, *columns)))

    def _twin(self, index: int, signature: Signature) -> Duplicate | None:
        """The first image of another role with the same pixels."""
        role = self._role_of[index]
        first = self._first.setdefault(signature.digest, {})
        others = [of for other, of in first.items() if other != role]
        first.setdefault(role, index)
        return self._pair(min(others), index, True) if others else None

    def _near(self) -> list[Duplicate]:
        indices = np.array(
            [
                i
                for i in sorted(self._signatures)
                if self._signatures[i].thumbnail.any()
            ],
            dtype=np.int64,
        )
        chosen = [self._signatures[index] for index in indices.tolist()]
        roles = np.array([self._role_of[index] for index in indices.tolist()])
        digests = np.array([of.digest for of in chosen])
        pairs = []
        if len(np.unique(roles)) > 1:
            thumbnails = np.array([of.thumbnail for of in chosen])
            small = np.array([of.is_small for of in chosen])
            for one, other in _resembling(thumbnails, small, roles):
                if digests[one] != digests[other]:
                    pairs.append(sorted((int(indices[one]), int(indices[other]))))
        return [self._pair(one, other, False) for one, other in sorted(pairs)]

    def _pair(self, one: int, other: int, identical: bool) -> Duplicate:
        return Duplicate(
            (one, other),
            (filename_of(self._dataset, one), filename_of(self._dataset, other)),
            (self._role_of[one], self._role_of[other]),
            identical,
        )


def find_duplicates(
    dataset: Any, split: MemorizationSplit, *, num_workers: int = 0
) -> list[Duplicate]:
    """Find images of different roles that are identical or near-duplicates.

    Each image with a role is read once. Near-duplicates are found by the correlation of
    grey thumbnails and of their gradients: resized, recompressed and brightened copies
    are found, mirrored and cropped ones are not. Unreadable images are left out.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        split: The roles of the images.
        num_workers: Worker processes that load images.

    Returns:
        The pairs, identical images first. An image is paired with the image that it
        resembles most.

    Examples:
        >>> from lightly_memloc import MemorizationSplit
        >>> from lightly_memloc.data import Digits, find_duplicates
        >>> digits = Digits()
        >>> digits.images[3] = digits.images[7]
        >>> split = MemorizationSplit(1797, candidate=[1, 3], external=[5, 7])
        >>> for pair in find_duplicates(digits, split):
        ...     print(pair)
        3/0003.png (candidate) and 7/0007.png (external)
    """
    role_of = roles_by_index(split)
    search = DuplicateSearch(dataset, role_of, allow_duplicates=True)
    if search.is_needed:
        loader = DataLoader(
            _Signed(dataset),
            batch_size=64,
            sampler=sorted(role_of),
            num_workers=num_workers,
            collate_fn=_unzipped,
            # Otherwise a pass would draw a number from the global generator.
            generator=torch.Generator(),
        )
        for batch in tracked(loader, len(loader), "Comparing images"):
            search.add(*batch)
    return search.found()


def refuse_duplicates(
    dataset: Any,
    split: MemorizationSplit,
    allow_duplicates: bool = False,
    *,
    num_workers: int = 0,
) -> None:
    """Refuse identical images of different roles, and warn of near-duplicates.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        split: The roles of the images.
        allow_duplicates: Whether to warn of identical images as well, instead of
            refusing them.
        num_workers: Worker processes that load images.

    Raises:
        MemorizationError: If images of different roles are identical, unless that is
            allowed. The message names the files.
    """
    found = find_duplicates(dataset, split, num_workers=num_workers)
    _reported(found, allow_duplicates)


class _Signed(Dataset[tuple[int, Signature | None]]):
    """Signatures of images; None for those that cannot be read."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, Signature | None]:
        with generators_restored():
            seed_generators(index)
            try:
                image, *_ = read_image(self.dataset, index)
            except UnreadableImageError:
                return index, None
        return index, signature_of(image)


def _unzipped(
    items: list[tuple[int, Signature | None]],
) -> tuple[list[int], list[Signature | None]]:
    return [index for index, _ in items], [signature for _, signature in items]


def _reported(found: list[Duplicate], allow_duplicates: bool) -> list[Duplicate]:
    identical = [pair for pair in found if pair.identical]
    if identical and not allow_duplicates:
        raise _refusal(identical)
    if found:
        warnings.warn(_warning(found), MemorizationWarning, stacklevel=4)
    return found


def _refusal(identical: list[Duplicate]) -> MemorizationError:
    return MemorizationError(
        f"Identical images have different roles: {_listed(identical)}. An encoder that "
        "was trained on one of them has seen the other, so that their comparison cannot "
        "show memorisation. Remove the copies, keep them in one role by giving them the "
        "same group (groups=..., --groups), or measure them as they are with "
        "allow_duplicates=True (--allow-duplicates)."
    )


def _warning(found: list[Duplicate]) -> str:
    identical = [pair for pair in found if pair.identical]
    near = [pair for pair in found if not pair.identical]
    parts = [
        f"{title} have different roles: {_listed(pairs)}."
        for title, pairs in (("Identical images", identical), ("Near-duplicates", near))
        if pairs
    ]
    return (
        f"{' '.join(parts)} Copies weaken a comparison of roles, and its p-values do not "
        "allow for them. Look at the images; keep copies in one role by giving them the "
        "same group."
    )


def _listed(pairs: list[Duplicate]) -> str:
    shown = "; ".join(map(str, pairs[:_SHOWN]))
    rest = len(pairs) - _SHOWN
    return f"{shown}; and {rest} more pairs" if rest > 0 else shown


def _resembling(
    thumbnails: NDArray[np.float16], small: NDArray[np.bool_], roles: NDArray[Any]
) -> Iterator[tuple[int, int]]:
    """Positions of each image and of the near-duplicate that it resembles most.

    The images of a role are compared with those of the roles after it, in blocks.
    """
    pooled = thumbnails.astype(np.float32).reshape(-1, SIDE // 2, 2, SIDE // 2, 2)
    coarse = _gradients(pooled.mean(axis=(2, 4)))
    for role in np.unique(roles):
        of_role, others = np.flatnonzero(roles == role), np.flatnonzero(roles > role)
        step = max(1, _BLOCK // max(1, len(others)))
        for start in range(0, len(of_role) if len(others) else 0, step):
            block = of_role[start : start + step]
            rows, columns = np.nonzero(coarse[block] @ coarse[others].T >= _COARSE)
            best: dict[int, tuple[float, int]] = {}
            for first in range(0, len(rows), _BLOCK >> 11):
                part = slice(first, first + (_BLOCK >> 11))
                ones, twos = block[rows[part]], others[columns[part]]
                near = _agreement(thumbnails, small, ones, twos)
                for at in np.flatnonzero(near > 0):
                    rival = (float(near[at]), int(twos[at]))
                    best[int(ones[at])] = max(rival, best.get(int(ones[at]), rival))
            yield from ((one, other) for one, (_, other) in best.items())


def _agreement(
    thumbnails: NDArray[np.float16],
    small: NDArray[np.bool_],
    ones: NDArray[np.int64],
    twos: NDArray[np.int64],
) -> Array:
    """Correlation of the gradients of near-duplicates, and 0 for other pairs."""
    one, two = (thumbnails[of].astype(np.float32) for of in (ones, twos))
    brightness = np.einsum("nij,nij->n", one, two)
    gradient = np.einsum("nk,nk->n", _gradients(one), _gradients(two))
    least = np.where(small[ones] | small[twos], _GRADIENT_OF_SMALL, _GRADIENT)
    near = (brightness >= _BRIGHTNESS) & (gradient >= least)
    return np.asarray(np.where(near, gradient, 0), dtype=np.float32)


def _gradients(thumbnails: Array) -> Array:
    """Differences of neighbouring pixels, of shape (N, K) and norm 1."""
    differences = [np.diff(thumbnails, axis=axis) for axis in (1, 2)]
    flat = np.concatenate([d.reshape(len(d), -1) for d in differences], axis=1)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norm, 1e-12), dtype=np.float32)
