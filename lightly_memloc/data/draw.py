"""Drawing the roles of images at random: one by one, or by whole groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError

Indices = NDArray[np.int64]

# Share of the size asked for by which whole groups may miss it.
_TOLERANCE = 0.25
# Images that are left open for an exact choice of the last groups of a role.
_OPEN = 4


def draw_images(
    order: Indices, strata: NDArray[Any], sizes: list[int], rng: np.random.Generator
) -> list[Indices]:
    """Deal images, sorted by stratum, to parts in evenly spaced turns.

    Args:
        order: The images in random order.
        strata: Stratum of each image of the data set.
        sizes: Size of each part. Their sum is the number of images.
        rng: The generator.
    """
    by_stratum = order[np.argsort(strata[order], kind="stable")]
    turns = [(np.arange(size) + rng.random()) / size for size in sizes]
    part = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(np.concatenate(turns))]
    return [by_stratum[part == number] for number in range(len(sizes))]


def draw_groups(
    order: Indices,
    groups: NDArray[Any],
    strata: NDArray[Any] | None,
    sizes: dict[str, int],
    rng: np.random.Generator,
) -> list[Indices]:
    """Deal whole groups of images to roles, as near to their sizes as possible.

    The strata take turns, in random order. From each, a role takes random groups until
    it has its share of the strata so far. A group belongs to the stratum of most of its
    images.

    Args:
        order: The images in random order.
        groups: Group of each image of the data set.
        strata: Stratum of each image of the data set, if known.
        sizes: Size of each role. Their sum is the number of images; the last role takes
            what is left.
        rng: The generator.

    Raises:
        MemorizationError: If a role would miss its size by more than a quarter.
    """
    names, code = np.unique(groups[order], return_inverse=True)
    n_images = np.bincount(code)
    free = rng.permutation(len(names))
    stratum = _strata_of_groups(code, None if strata is None else strata[order])
    *roles, rest = sizes
    role_of = np.full(len(names), len(roles))
    taken = dict.fromkeys(roles, 0)
    strata_order = rng.permutation(np.unique(stratum))
    share = np.cumsum([n_images[stratum == of].sum() for of in strata_order])
    for of, so_far in zip(strata_order, share / len(order), strict=True):
        left = free[stratum[free] == of]
        for number, role in enumerate(roles):
            wanted = sizes[role] * so_far - taken[role]
            chosen = _nearest(n_images[left], round(wanted))
            role_of[left[chosen]] = number
            taken[role] += int(n_images[left[chosen]].sum())
            left = np.delete(left, chosen)
    left = free[role_of[free] == len(roles)]
    for number, role in enumerate(roles):
        chosen = _nearest(n_images[left], sizes[role] - taken[role])
        role_of[left[chosen]] = number
        left = np.delete(left, chosen)
    if not sizes[rest]:
        _place(left, role_of, n_images, [sizes[role] for role in roles])
    drawn = [order[role_of[code] == number] for number in range(len(sizes))]
    _refuse_far(sizes, drawn, names, n_images)
    return drawn


def _strata_of_groups(code: Indices, strata: NDArray[Any] | None) -> Indices:
    """The stratum of most images of each group, as a number."""
    n_groups = int(code.max()) + 1
    if strata is None:
        return np.zeros(n_groups, dtype=np.int64)
    of_image = np.unique(strata, return_inverse=True)[1]
    pairs, counts = np.unique(np.stack([code, of_image]), axis=1, return_counts=True)
    most = np.zeros(n_groups, dtype=np.int64)
    ascending = np.argsort(counts, kind="stable")
    most[pairs[0, ascending]] = pairs[1, ascending]
    return most


def _nearest(n_images: Indices, wanted: int) -> list[int]:
    """Positions of groups with a total as near to the wanted one as possible.

    Groups are taken in order while they fit, until few images are wanting. These come
    from the groups whose sum is nearest.
    """
    if wanted <= 0 or not len(n_images):
        return []
    largest = int(n_images.max())
    chosen, total = [], 0
    for position, size in enumerate(n_images.tolist()):
        if total + size <= wanted - _OPEN * largest:
            chosen.append(position)
            total += size
    taken = set(chosen)
    others = [at for at in range(len(n_images)) if at not in taken]
    return chosen + _nearest_sum(n_images, others, wanted - total)


def _nearest_sum(n_images: Indices, positions: list[int], wanted: int) -> list[int]:
    """The subset with the nearest sum, preferring positions that come first."""
    # The last position of a subset with each sum, and the sum without it.
    made: dict[int, tuple[int, int]] = {0: (-1, 0)}
    for position in positions:
        size = int(n_images[position])
        for total in [total for total in made if total < wanted]:
            made.setdefault(total + size, (position, total))
        if wanted in made:
            break
    total = min(made, key=lambda total: (abs(total - wanted), total))
    subset = []
    while total:
        position, total = made[total]
        subset.append(position)
    return subset


def _place(
    left: Indices, role_of: Indices, n_images: Indices, sizes: Sequence[int]
) -> None:
    """Give each group that is left to the role that most lacks images."""
    for group in left.tolist():
        taken = np.bincount(role_of, n_images, minlength=len(sizes) + 1)[: len(sizes)]
        lack = np.where(np.array(sizes) > 0, np.array(sizes) - taken, -np.inf)
        role_of[group] = int(np.argmax(lack))


def _refuse_far(
    sizes: dict[str, int], drawn: list[Indices], names: NDArray[Any], n_images: Indices
) -> None:
    for (role, size), images in zip(sizes.items(), drawn, strict=True):
        if abs(len(images) - size) > _TOLERANCE * size and role != "shared":
            largest = int(np.argmax(n_images))
            raise MemorizationError(
                f"Cannot take about {size} {role} images by whole groups: the nearest "
                f"number found is {len(images)}. The {len(names)} groups have up to "
                f"{n_images[largest]} images (group {names[largest]}). Ask for sizes that "
                "groups can fill."
            )
