"""Member share and UnitMem gap as a streaming metric."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightly_memloc.functional import Estimate, member_share, unit_mem_gap
from lightly_memloc.metrics.grouped_maxima import GroupedMaxima

# Pairs of groups of images that the gap's permutations swap: 2^10 swaps are enough for
# a p-value of 0.002, and the state stays a small multiple of the units.
MAX_GROUPS = 10


class MemberShareValues(NamedTuple):
    """How a layer's units prefer members to non-members.

    Attributes:
        member_share: Share of live units whose winning image is a member.
        gap: Mean UnitMem on members minus that on as many non-members.
    """

    member_share: Estimate
    gap: Estimate


class MemberShare(GroupedMaxima):
    """Accumulate member share and UnitMem gap over a balanced mix of images.

    State: three numbers a unit and group of images (at most 20 groups), the rows of
    the latest batch and one integer an image. See
    :func:`lightly_memloc.functional.member_share` and
    :func:`lightly_memloc.functional.unit_mem_gap`.

    Args:
        num_units: Units of the layer.
        members: Indices of the members.
        holdout: Indices of as many non-members. Images of the mix that are never seen
            (unreadable ones) do not count.
        seed: Seed of the groups, the resamples and the permutations.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Raises:
        ValueError: If there are not as many members as non-members, or an image is
            both.

    Examples:
        >>> import torch
        >>> from lightly_memloc.metrics import MemberShare
        >>> metric = MemberShare(2, members=[0, 1], holdout=[2, 3])
        >>> mu = torch.tensor([[5.0, 1.0], [0.0, 3.0], [1.0, 1.0], [2.0, 2.0]])
        >>> metric.update(mu, torch.arange(4))
        >>> metric.compute().member_share.value
        array([1.])
    """

    def __init__(
        self,
        num_units: int,
        members: NDArray[np.int64] | list[int],
        holdout: NDArray[np.int64] | list[int],
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if len(members) != len(holdout) or np.intersect1d(members, holdout).size:
            raise ValueError(
                "Expected as many members as non-members and no image in both, got "
                f"{len(members)} and {len(holdout)}, "
                f"{np.intersect1d(members, holdout).size} of them in both."
            )
        n_groups = min(MAX_GROUPS, max(1, len(members)))
        super().__init__(num_units, 2 * n_groups, **kwargs)
        self.seed = seed
        rng = np.random.default_rng(seed)
        self.mix = np.concatenate([rng.permutation(members), rng.permutation(holdout)])
        place = np.arange(len(members)) % n_groups
        self.group_of = dict(
            zip(
                self.mix.tolist(),
                np.concatenate([place, place + n_groups]).tolist(),
                strict=True,
            )
        )

    def update(self, mu: Tensor, index: Tensor) -> None:
        """Add a batch of images; those that are not in the mix are passed over.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            index: Index of each image in the data set, shape ``(B,)``.
        """
        groups = torch.tensor([self.group_of.get(i, -1) for i in index.tolist()])
        in_mix = groups >= 0
        self._add(
            mu[in_mix.to(mu.device)], index[in_mix.to(index.device)], groups[in_mix]
        )

    def compute(self) -> MemberShareValues:
        """Return both estimates; NaN where no unit is alive."""
        largest, winner, total, images = (field.cpu() for field in self._merged())
        by_role = (2, self.num_groups // 2, self.num_units)
        best = largest.amax(dim=0)
        alive = (best != 0) & torch.isfinite(best)
        seen = np.isin(self.mix, self._seen().cpu().numpy())
        mix, is_member = self.mix[seen], (np.arange(len(seen)) < len(seen) // 2)[seen]
        position = {image: place for place, image in enumerate(mix.tolist())}
        winners = [position[image] for image in winner[alive].tolist()]
        return MemberShareValues(
            member_share(np.array(winners, dtype=np.int64), is_member, seed=self.seed),
            unit_mem_gap(
                largest.reshape(by_role).numpy(),
                total.reshape(by_role).numpy(),
                images.reshape(2, -1).numpy(),
                seed=self.seed,
            ),
        )
