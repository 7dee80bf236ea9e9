"""Counts behind member share and the UnitMem gap, as a streaming metric."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightly_memloc.functional.unit_mem import is_dead
from lightly_memloc.functional.unit_mem_gap import MAX_PAIRS
from lightly_memloc.metrics.image_metric import Values
from lightly_memloc.metrics.unit_mem import GroupedMaxima


class MemberShare(GroupedMaxima):
    """Count how units prefer members to non-members in a balanced mix of images.

    :func:`lightly_memloc.functional.member_share` and
    :func:`lightly_memloc.functional.unit_mem_gap` estimate the member share and the
    UnitMem gap from the counts. The state consists of two numbers per unit and group
    of images (at most 20 groups), the rows of the latest batch, and one integer per
    image.

    ``compute()`` returns a dictionary, for ``N`` images seen and ``L`` layers:

    - ``image``: indices of the images of the mix that were seen, shape ``(N,)``;
    - ``member``: whether each is a member, shape ``(N,)``;
    - ``wins``: number of live units of each layer that each image activates most,
      shape ``(N, L)``;
    - ``largest``: largest activation within each group of images, shape ``(2, G, U)``,
      members first; -inf in an empty group;
    - ``total``: sum of activations within each group, shape ``(2, G, U)``;
    - ``count``: number of images in each group, shape ``(2, G)``.

    Args:
        num_units: Number of units of the layer; for several layers side by side, the
            number of units of each.
        members: Indices of the members.
        holdout: Indices of equally many non-members. Images of the mix that are never
            seen, such as unreadable ones, do not count.
        seed: Random seed of the assignment of images to groups.
        clusters: Images that belong together, as a cluster by index. They are assigned
            to the same group.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Raises:
        ValueError: If the numbers of members and of non-members differ, or an image
            is both.

    Examples:
        >>> import torch
        >>> from lightly_memloc.functional import member_share
        >>> from lightly_memloc.metrics import MemberShare
        >>> metric = MemberShare(2, members=[0, 1], holdout=[2, 3])
        >>> mu = torch.tensor([[5.0, 1.0], [0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
        >>> metric.update(mu, torch.arange(4))
        >>> counts = metric.compute()
        >>> member_share(counts["wins"].numpy(), counts["member"].numpy()).value
        array([1.])
    """

    def __init__(
        self,
        num_units: int | Sequence[int],
        members: NDArray[np.int64] | list[int],
        holdout: NDArray[np.int64] | list[int],
        seed: int = 0,
        clusters: Mapping[int, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if len(members) != len(holdout) or np.intersect1d(members, holdout).size:
            raise ValueError(
                "Expected as many members as non-members and no image in both, got "
                f"{len(members)} and {len(holdout)}, "
                f"{np.intersect1d(members, holdout).size} of them in both."
            )
        sides = [np.asarray(side).tolist() for side in (members, holdout)]
        clusters = clusters or {}
        n_clusters = (len({clusters.get(i, i) for i in side}) for side in sides)
        n_groups = min(MAX_PAIRS, max(1, min(n_clusters)))
        sizes = [num_units] if isinstance(num_units, int) else list(num_units)
        super().__init__(sum(sizes), 2 * n_groups, **kwargs)
        self.layer_sizes = sizes
        rng = np.random.default_rng(seed)
        mix = [rng.permutation(members), rng.permutation(holdout)]
        self.mix = np.concatenate(mix).astype(np.int64)
        self.group_of = {
            image: group + role * n_groups
            for role, side in enumerate(mix)
            for image, group in _dealt(side.tolist(), clusters, n_groups).items()
        }
        self._keep_apart(self.mix.tobytes(), sorted(self.group_of.items()))

    def update(self, mu: Tensor, index: Tensor) -> None:
        """Add a batch of images; those outside the mix are ignored.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            NonFiniteError: If an activation on an image of the mix is not finite.
            ValueError: If the shapes do not fit.
        """
        groups = torch.tensor([self.group_of.get(i, -1) for i in index.tolist()])
        in_mix = groups >= 0
        self._add(
            mu[in_mix.to(mu.device)], index[in_mix.to(index.device)], groups[in_mix]
        )

    def compute(self) -> Values:
        """Return the counts over all images of the mix that were seen."""
        largest, winner, total, images = self._merged()
        best = largest.amax(dim=0)
        alive = ~is_dead(best) & torch.isfinite(best)
        mix = torch.from_numpy(self.mix).to(winner.device)
        seen = torch.isin(mix, self._seen())
        image = mix[seen]
        ordered, order = image.sort()
        place = order[torch.searchsorted(ordered, winner[alive])]
        n_layers = len(self.layer_sizes)
        layer = torch.arange(n_layers).repeat_interleave(torch.tensor(self.layer_sizes))
        layer = layer.to(winner.device)[alive]
        wins = image.new_zeros(len(image), n_layers)
        by_role = (2, self.num_groups // 2)
        return {
            "image": image,
            "member": torch.arange(len(mix), device=mix.device)[seen] < len(mix) // 2,
            "wins": wins.index_put_(
                (place, layer), torch.ones_like(place), accumulate=True
            ),
            "largest": largest.reshape(*by_role, -1),
            "total": total.reshape(*by_role, -1),
            "count": images.reshape(by_role),
        }


def _dealt(
    images: list[int], clusters: Mapping[int, Any], n_groups: int
) -> dict[int, int]:
    """Deal images to groups in turn: clusters as a whole, the largest first."""
    together: dict[Any, list[int]] = defaultdict(list)
    for image in images:
        together[clusters.get(image, image)].append(image)
    sizes = [0] * n_groups
    dealt: dict[int, int] = {}
    for cluster in sorted(together.values(), key=len, reverse=True):
        group = sizes.index(min(sizes))
        sizes[group] += len(cluster)
        dealt |= dict.fromkeys(cluster, group)
    return dealt
