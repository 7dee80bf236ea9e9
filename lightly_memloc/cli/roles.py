"""The roles that commands ask for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightly_memloc.cli.output import print_skipped

if TYPE_CHECKING:
    from lightly_memloc.data import MemorizationSplit


@dataclass(frozen=True)
class Roles:
    """Sizes of the roles in a random split.

    Attributes:
        candidate: Number of candidates, if given.
        independent: Number of independent images, if given.
        external: Number of external images, if given.
        skip_unreadable: Whether unreadable images get no role.
    """

    candidate: int | None
    independent: int | None
    external: int | None
    skip_unreadable: bool

    def split(self, dataset: Any, seed: int) -> "MemorizationSplit":
        """Split a data set at random, a tenth for a role of no given size."""
        from lightly_memloc.data import MemorizationSplit

        return MemorizationSplit.of_dataset(
            dataset,
            self.candidate,
            self.independent,
            self.external,
            seed,
            self.unreadable(dataset),
        )

    def unreadable(self, dataset: Any) -> list[int]:
        """Find the images that get no role, and say which."""
        from lightly_memloc.data import filename_of, unreadable_images

        if not self.skip_unreadable:
            return []
        unreadable = unreadable_images(dataset)
        print_skipped(filename_of(dataset, index) for index in unreadable)
        return unreadable
