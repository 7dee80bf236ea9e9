"""Seeded views of the images of any map-style data set."""

import re
from collections.abc import Callable
from typing import Any

import torch
from lightly.transforms.multi_view_transform import MultiViewTransform
from lightly.transforms.multi_view_transform_v2 import MultiViewTransformV2
from torch import Tensor
from torch.utils.data import Dataset

from lightly_memloc.data.dataset import read_image
from lightly_memloc.data.signature import Signature, signature_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import generators_restored, refuse_outside, seed_generators


class MultiViewDataset(Dataset[tuple[Tensor, Any, str]]):
    """Several augmented views of each image that are the same on every access.

    View v of image i depends only on ``(seed, i, v)``: the global random generators of
    torch, numpy and random are seeded from it before the transform and restored
    afterwards. Batch size, number of workers, rank and order do not change a view, and
    two encoders see the same views. Transforms with their own random generator are not
    controlled.

    Args:
        dataset: A map-style data set of images (PIL or tensors), either alone or first
            in a tuple ``(image, target)`` or ``(image, target, filename)``:
            LightlyDataset, torchvision's data sets, or a Subset of these.
        transform: The augmentation, which returns a tensor. For a lightly
            ``MultiViewTransform``, the transform of the first view is used.
        n_views: Number of views V.
        seed: Random seed of the views.
        anchor_transform: A transform without augmentation. If given, its output
            precedes the V views, as ``pairs="anchor"`` needs it.

    Attributes:
        signature: The signature of the image that was read last.

    Raises:
        MemorizationError: If ``n_views`` is too small or ``seed`` is negative. On
            access, if the transform does not return a tensor or views differ in size.
        UnreadableImageError: On access, if an image cannot be read. The message names
            the file.

    Examples:
        >>> from torchvision import transforms
        >>> from lightly_memloc import MultiViewDataset
        >>> from lightly_memloc.data import Digits
        >>> transform = transforms.Compose(
        ...     [transforms.RandomCrop(6), transforms.ToTensor()]
        ... )
        >>> views, target, filename = MultiViewDataset(Digits(), transform, n_views=3)[
        ...     7
        ... ]
        >>> views.shape, target, filename
        (torch.Size([3, 3, 6, 6]), 7, '7/0007.png')
    """

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Any], Any],
        n_views: int = 10,
        seed: int = 0,
        anchor_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        refuse_outside("n_views", n_views, whole=True)
        if n_views < (1 if anchor_transform else 2):
            raise MemorizationError(
                f"Expected at least two views to compare, got n_views={n_views}."
            )
        refuse_outside("seed", seed, at_least=0, whole=True)
        self.dataset = dataset
        self.transform = view_transform(transform)
        self.n_views = n_views
        self.seed = seed
        self.anchor_transform = anchor_transform and view_transform(anchor_transform)
        self.signature: Signature | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Any, str]:
        """Return views ``(V, C, H, W)``, target (-1 if unknown) and file name."""
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(
                f"There is no image {index} in a data set of {len(self)} images."
            )
        with generators_restored():
            # The data set's own transform may be random.
            seed_generators(self.seed, index)
            image, target, filename = read_image(self.dataset, index)
            self.signature = signature_of(image)
            views = []
            for v in range(self.n_views):
                seed_generators(self.seed, index, v)
                # A transform may write into its input.
                views.append(_one_view(self.transform(_copied(image)), self.transform))
            if self.anchor_transform is not None:
                anchor = self.anchor_transform(_copied(image))
                views.insert(0, _one_view(anchor, self.anchor_transform))
        return _stack(views, filename), target, filename


def described(transform: Callable[[Any], Any]) -> str:
    """Describe the transform of a single view, for whoever reads a result later.

    Args:
        transform: A view transform, or a lightly ``MultiViewTransform``.

    Returns:
        Its ``repr`` on one line, without addresses in memory; of lightly's transforms
        that of the steps they consist of.
    """
    single = view_transform(transform)
    steps = getattr(single, "transform", single)
    return " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(steps)).split())


def view_transform(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the transform of a single view; the first of a MultiViewTransform."""
    if not callable(transform):
        raise MemorizationError(
            "Expected a transform that makes a view of an image, got "
            f"{type(transform).__name__}. Memorisation shows under the augmentation of "
            "the encoder's training."
        )
    if isinstance(transform, MultiViewTransform | MultiViewTransformV2):
        first: Callable[[Any], Any] = transform.transforms[0]
        return first
    return transform


def _copied(image: Any) -> Any:
    return image.clone() if isinstance(image, Tensor) else image.copy()


def _one_view(view: Any, transform: Callable[[Any], Any]) -> Tensor:
    if isinstance(view, tuple | list) and view:
        view = view[0]
    if not isinstance(view, Tensor):
        raise MemorizationError(
            "Expected the transform to return a tensor, got "
            f"{type(view).__name__} from {type(transform).__name__}. Add ToTensor() to it."
        )
    if not view.is_floating_point():
        raise MemorizationError(
            f"Expected the transform to return floating-point values, got {view.dtype}. "
            "Add ToDtype(torch.float32, scale=True) to it."
        )
    return view


def _stack(views: list[Tensor], filename: str) -> Tensor:
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        raise MemorizationError(
            f"{filename}: expected views of the same size, got {sorted(shapes)}. Crop or "
            "resize to a fixed size in the transform."
        )
    return torch.stack(views)
