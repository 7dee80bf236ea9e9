"""What one pass over the images measured, before anything is estimated from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lightly_memloc.errors import MemorizationError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Readings:
    """Alignment distances of each image, layer and encoder.

    Attributes:
        images: One row per image with ``index``, ``filename`` and ``role``; if known,
            also ``group`` and ``stratum``, by which roles were assigned.
        layers: Name and kind of L layers in forward order.
        distances: Alignment distances of shape ``(N, L)`` by encoder: ``"f"``,
            ``"g"`` if there is a reference encoder, and those of encoders whose
            distances are covariates of the same layer. Rows are in the order of
            ``images``.
        halves: Alignment distances over the first and over the second half of the
            views, of shape ``(N, L, 2)`` by encoder. Empty if there are too few views
            to divide.
        covariates: One row per image of covariates that all layers share: numbers, and
            ``class``. None if the adjusted gap is not asked for.

    Raises:
        MemorizationError: If a layer lacks a value for an image, an image or a layer is
            listed twice, or the shapes do not fit.

    Examples:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from lightly_memloc.estimation import Readings
        >>> images = pd.DataFrame(
        ...     {"index": [3, 5], "filename": ["a.png", "b.png"], "role": "candidate"}
        ... )
        >>> Readings(images, [("conv1", "conv")], {"f": np.array([[0.1], [0.2]])}).roles
        array(['candidate', 'candidate'], dtype=object)
    """

    images: pd.DataFrame
    layers: Sequence[tuple[str, str]]
    distances: Mapping[str, Array]
    halves: Mapping[str, Array] = field(default_factory=dict)
    covariates: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        missing = [
            name
            for name in ("index", "filename", "role")
            if name not in self.images.columns
        ]
        if missing:
            raise MemorizationError(
                "Expected a table of images with index, filename and role; it lacks "
                f"{', '.join(missing)}."
            )
        twice = self.images["index"][self.images["index"].duplicated()]
        if len(twice):
            raise MemorizationError(
                f"Image {twice.iloc[0]} is listed twice: expected one row per image."
            )
        if "f" not in self.distances:
            raise MemorizationError(
                "Expected distances of the encoder f, got those of "
                f"{list(self.distances)}."
            )
        for encoder, values in self.distances.items():
            self._refuse_incomplete(encoder, values)

    @classmethod
    def aligned(
        cls,
        images: pd.DataFrame,
        layers: Sequence[tuple[str, str]],
        measured: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike]]],
        covariates: pd.DataFrame | None = None,
    ) -> "Readings":
        """Sort what each layer measured into the rows of the images.

        Args:
            images: One row per image with ``index``, ``filename`` and ``role``.
            layers: Name and kind of each layer.
            measured: For each encoder and layer, the indices of the images that the
                layer saw, in any order, and their distances: over all views, or of
                shape ``(N, 3)`` with those over either half of the views.
            covariates: One row per image of covariates, in the order of ``images``.

        Raises:
            MemorizationError: If a layer did not see every image exactly once.
        """
        rows = pd.Index(images["index"])
        distances, halves = {}, {}
        for encoder, by_layer in measured.items():
            columns = []
            for (name, _), (index, values) in zip(layers, by_layer, strict=True):
                place = rows.get_indexer(pd.Index(np.asarray(index)))
                if (place < 0).any() or len(np.unique(place)) < len(place):
                    raise MemorizationError(
                        f"Layer {name} of encoder {encoder} measured images twice, or "
                        "images that were not asked for."
                    )
                of_views = np.asarray(values, dtype=np.float64).reshape(len(place), -1)
                column = np.full((len(rows), of_views.shape[1]), np.nan)
                column[place] = of_views
                columns.append(column)
            by_views = np.stack(columns, axis=1)
            distances[encoder] = by_views[..., 0]
            if by_views.shape[2] > 1:
                halves[encoder] = by_views[..., 1:]
        return cls(images, layers, distances, halves, covariates)

    @property
    def names(self) -> list[str]:
        """Names of the layers in forward order."""
        return [name for name, _ in self.layers]

    @property
    def roles(self) -> NDArray[np.object_]:
        """Role of each image, shape ``(N,)``."""
        return self.images["role"].to_numpy(dtype=object)

    def column(self, name: str) -> NDArray[Any] | None:
        """Return a column of the images, shape ``(N,)``; None if it is unknown."""
        return self.images[name].to_numpy() if name in self.images else None

    def _refuse_incomplete(self, encoder: str, values: Array) -> None:
        expected = (len(self.images), len(self.layers))
        if values.shape != expected:
            raise MemorizationError(
                f"Expected distances of encoder {encoder} for {expected[0]} images and "
                f"{expected[1]} layers, got shape {values.shape}."
            )
        lacking = np.isnan(values)
        if not lacking.any():
            return
        layer = int(lacking.any(axis=0).argmax())
        without = self.images["filename"][lacking[:, layer]]
        raise MemorizationError(
            f"Layer {self.names[layer]} of encoder {encoder} has no value for "
            f"{len(without)} of {len(self.images)} images, {without.iloc[0]} among them: "
            "it did not run on every image. Leave the layer out with layers=..."
        )
