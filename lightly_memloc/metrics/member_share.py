"""Member share and UnitMem gap as a streaming metric."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightly_memloc.functional import Estimate, member_share, unit_mem_gap
from lightly_memloc.functional.unit_mem_gap import MAX_PAIRS
from lightly_memloc.metrics.grouped_maxima import GroupedMaxima


class MemberShareValues(NamedTuple):
    """How units prefer members to non-members, with an entry for each layer.

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
        num_units: Units of the layer; of several layers side by side, those of each.
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
        num_units: int | Sequence[int],
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
        n_groups = min(MAX_PAIRS, max(1, len(members)))
        sizes = [num_units] if isinstance(num_units, int) else list(num_units)
        super().__init__(sum(sizes), 2 * n_groups, **kwargs)
        self.layer_sizes = sizes
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
        """Return both estimates of each layer; NaN where no unit is alive."""
        largest, winner, total, images = (field.cpu() for field in self._merged())
        by_role = (2, self.num_groups // 2, self.num_units)
        best = largest.amax(dim=0)
        alive = ((best != 0) & torch.isfinite(best)).numpy()
        layer = np.repeat(np.arange(len(self.layer_sizes)), self.layer_sizes)
        seen = np.isin(self.mix, self._seen().cpu().numpy())
        mix, is_member = self.mix[seen], (np.arange(len(seen)) < len(seen) // 2)[seen]
        order = np.argsort(mix)
        place = order[np.searchsorted(mix, winner.numpy()[alive], sorter=order)]
        wins = np.zeros((len(mix), len(self.layer_sizes)))
        np.add.at(wins, (place, layer[alive]), 1)
        edges = np.cumsum(self.layer_sizes)[:-1]
        gaps = [
            unit_mem_gap(largest_here, total_here, images.reshape(2, -1).numpy())
            for largest_here, total_here in zip(
                np.split(largest.reshape(by_role).numpy(), edges, axis=2),
                np.split(total.reshape(by_role).numpy(), edges, axis=2),
                strict=True,
            )
        ]
        return MemberShareValues(
            member_share(wins, is_member, seed=self.seed),
            Estimate.joined(gaps),
        )
