"""A study: the images to measure, their augmentation and their roles."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import ConcatDataset

from lightly_memloc.data.dataset import groups_of, open_dataset
from lightly_memloc.data.indices import are_indices, image_indices
from lightly_memloc.data.multi_view import MultiViewDataset
from lightly_memloc.data.split import MemorizationSplit, roles_by_index
from lightly_memloc.errors import MemorizationError


@dataclass(frozen=True, eq=False)
class Study:
    """The images to measure, their augmentation and their roles; never a model.

    Attributes:
        dataset: Map-style data set of images without a transform of its own; or a
            folder or a list of images, as :func:`~lightly_memloc.data.open_dataset`
            takes it.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        split: The roles of the images, if known.
        indices: Images that the encoder was trained on, as indices or as a mask. By
            default, the split's candidates, or all images except the holdout.
        holdout: Images from the same distribution that the encoder never saw: indices
            or a mask; or a data set, a folder or a list of images of its own, which
            follow those of ``dataset`` in the study's data set. By default, the
            split's external images.
        n_views: Views per image.
        seed: Random seed of the views, the resamples and the permutations.
        plain_transform: A transform without augmentation, for anchored views and for
            probes.
        groups: Group of each image of the data set, such as its patient, scene or
            burst, shape ``(n,)``. By default, the groups of the split, or else those
            that the data set lists in its attribute ``groups``. With a holdout of its
            own, those of ``dataset`` followed by those of the holdout.

    Raises:
        MemorizationError: If the split was made for another data set or comes with a
            data set of held-out images, the holdout has no images, indices are neither
            integers within range nor a mask, an image is in ``indices`` and in
            ``holdout``, or a group has images of two roles.

    Examples:
        >>> from lightly.transforms import SimCLRTransform
        >>> from lightly_memloc.data import Digits, Study
        >>> study = Study(
        ...     Digits(), SimCLRTransform(input_size=32), holdout=range(100, 1797)
        ... )
        >>> len(study.members), len(study.non_members)
        (100, 1697)
    """

    dataset: Any
    transform: Callable[[Any], Any]
    split: MemorizationSplit | None = None
    _: KW_ONLY
    indices: ArrayLike | None = None
    holdout: Any = None
    n_views: int = 10
    seed: int = 0
    plain_transform: Callable[[Any], Any] | None = None
    groups: ArrayLike | None = None
    _roles: MemorizationSplit = field(init=False)

    def __post_init__(self) -> None:
        dataset = _opened(self.dataset)
        if self.holdout is not None and not are_indices(self.holdout):
            self._append(dataset, _opened(self.holdout))
        else:
            object.__setattr__(self, "dataset", dataset)
        if self.split is not None:
            self.split.refuse_other(self.dataset)
        both = np.intersect1d(self.members, self.non_members)
        if len(both):
            raise MemorizationError(
                f"Image {both[0]} and {len(both) - 1} more are both in indices and in "
                "holdout. The holdout must be images that the encoder never saw."
            )
        # Roles that share a group are refused where they are made.
        object.__setattr__(self, "_roles", self._grouped_roles())

    @property
    def members(self) -> NDArray[np.int64]:
        """Indices of images that the encoder was trained on, ascending."""
        if self.indices is not None:
            return self._index_set(self.indices, "indices")
        if self.split is not None:
            return self.split.candidate
        return np.setdiff1d(np.arange(len(self.dataset)), self.non_members)

    @property
    def non_members(self) -> NDArray[np.int64]:
        """Indices of images that the encoder never saw, ascending; may be empty."""
        if self.holdout is None and self.split is not None:
            return self.split.external
        return self._index_set([] if self.holdout is None else self.holdout, "holdout")

    @property
    def roles(self) -> MemorizationSplit:
        """The split, or else one of members as candidates and holdout as external.

        It has the study's groups.
        """
        return self._roles

    def role_of(self) -> dict[int, str]:
        """Return the role of each image that has one, by index.

        Members and holdout that have no role in the split are ``"member"`` and
        ``"holdout"``.
        """
        known = {index: "member" for index in self.members.tolist()}
        known |= {index: "holdout" for index in self.non_members.tolist()}
        return known if self.split is None else known | roles_by_index(self.split)

    def views(self, *, anchored: bool = False) -> MultiViewDataset:
        """Return the seeded views of the images.

        Args:
            anchored: Whether to prepend the unaugmented image to its views.

        Raises:
            MemorizationError: If there are too few views to compare.
        """
        anchor = self.plain_transform if anchored else None
        return MultiViewDataset(
            self.dataset, self.transform, self.n_views, self.seed, anchor
        )

    def without_holdout(self) -> "Study":
        """Return a study of the members only."""
        return replace(self, split=None, indices=self.members, holdout=None)

    def trial(self, n_images: int) -> "Study":
        """Return a study of the first images of each role.

        Args:
            n_images: Number of images per role; at least two are taken.
        """
        n = max(2, n_images)
        return replace(
            self,
            indices=self.members[:n],
            holdout=self.non_members[:n],
            split=self.split
            and replace(
                self.split,
                candidate=self.split.candidate[:n],
                independent=self.split.independent[:n],
                external=self.split.external[:n],
            ),
        )

    def _append(self, members: Any, holdout: Any) -> None:
        """Make held-out images the end of the data set."""
        if self.split is not None:
            raise MemorizationError(
                "A split says which images of one data set are held out: pass either a "
                "split, or a data set of held-out images."
            )
        if not len(holdout):
            raise MemorizationError("The data set of held-out images is empty.")
        n_members = len(members)
        both: ConcatDataset[Any] = ConcatDataset([members, holdout])
        chosen: Any = range(n_members)
        if self.indices is not None:
            chosen = image_indices(self.indices, n_members, "indices")
        object.__setattr__(self, "dataset", both)
        object.__setattr__(self, "indices", chosen)
        object.__setattr__(self, "holdout", range(n_members, len(both)))

    def _index_set(self, given: Any, what: str) -> NDArray[np.int64]:
        return np.unique(image_indices(given, len(self.dataset), what))

    def _grouped_roles(self) -> MemorizationSplit:
        groups: Any = self.groups
        if groups is None and self.split is not None:
            groups = self.split.groups
        if groups is None:
            groups = groups_of(self.dataset)
        of_members = MemorizationSplit(
            len(self.dataset),
            candidate=self.members,
            external=self.non_members,
            groups=groups,
        )
        if self.split is None:
            return of_members
        if self.split.groups is groups:
            return self.split
        return replace(self.split, groups=groups)


def _opened(source: Any) -> Any:
    if isinstance(source, str | PathLike):
        return open_dataset(str(source))
    if not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        raise MemorizationError(
            "Expected a map-style data set, which has a length and gives an image by its "
            f"index, got a {type(source).__name__}."
        )
    return source
