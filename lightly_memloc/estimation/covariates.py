"""Covariates of single images: what explains how hard they are to align."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Unpack

from lightly_memloc.estimation.readings import Readings
from lightly_memloc.functional import Estimate, blind_scores, blind_test, matched_images
from lightly_memloc.functional.resampling import ResamplingArguments
from lightly_memloc.results import LayerMemResult

Array = NDArray[np.float64]

# Images of each set from which on covariates are used.
ENOUGH = 10

# A distance of an encoder that is a covariate; smaller ones count as this small.
_SMALLEST = 1e-12


class Covariates:
    """Covariates of N images in L layers.

    Args:
        shared: One row per image of covariates that all layers share: numbers, and
            ``class`` if it is known.
        distances: Alignment distances of shape ``(N, L)`` by encoder.
        with_class: Whether to use the class. Leave it out if images were drawn within
            classes, and these are strata.
    """

    def __init__(
        self,
        shared: pd.DataFrame,
        distances: Mapping[str, Array],
        *,
        with_class: bool = True,
    ) -> None:
        numbers = shared.drop(columns="class", errors="ignore")
        self._shared = numbers.to_numpy(dtype=np.float64)
        self._class = shared["class"].to_numpy() if "class" in shared else None
        self._with_class = with_class
        self._distances = {
            name: np.log(np.maximum(values, _SMALLEST))
            for name, values in distances.items()
        }

    @classmethod
    def of_readings(cls, readings: Readings) -> "Covariates | None":
        """Return the covariates of all images that were read; None if there are none.

        Args:
            readings: Readings of an encoder.
        """
        if readings.covariates is None:
            return None
        return cls(
            readings.covariates,
            {name: of for name, of in readings.distances.items() if name != "f"},
            with_class=readings.column("stratum") is None,
        )

    @classmethod
    def of_result(cls, result: LayerMemResult) -> "Covariates | None":
        """Return the covariates of all images of a result; None if it has none.

        Args:
            result: LayerMem.
        """
        if "covariates" not in result.tables:
            return None
        table, layers = result.to_pandas("covariates"), result.to_pandas()["layer"]
        distances = result.distances_to_pandas()
        described = ["index", "filename", "role", "group", "stratum"]
        encoders = {name.partition(":")[0] for name in distances.columns if ":" in name}
        return cls(
            table.drop(columns=described, errors="ignore"),
            {
                encoder: distances[[f"{encoder}:{name}" for name in layers]].to_numpy()
                for encoder in sorted(encoders - {"f"})
            },
            with_class="stratum" not in table,
        )

    def by_layer(self, rows: NDArray[np.int64]) -> Array:
        """Return the covariates of images, shape ``(rows, L, P)``.

        Args:
            rows: Positions of the images.
        """
        shared = [self._shared[rows]]
        if self._with_class:
            shared.append(self._one_hot(rows))
        of_all = np.concatenate(shared, axis=1)
        of_layers = [values[rows][..., None] for values in self._distances.values()]
        n_layers = of_layers[0].shape[1] if of_layers else 1
        repeated = np.repeat(of_all[:, None], n_layers, axis=1)
        return np.concatenate([repeated, *of_layers], axis=2)

    def share_classes(
        self, members: NDArray[np.int64], holdout: NDArray[np.int64]
    ) -> bool:
        """Whether two sets have a class in common; true if classes are not used.

        Args:
            members: Positions of the members.
            holdout: Positions of the held-out images.
        """
        if self._class is None or not self._with_class:
            return True
        return bool(np.isin(self._class[members], self._class[holdout]).any())

    def blind(
        self,
        members: NDArray[np.int64],
        holdout: NDArray[np.int64],
        **resampling: Unpack[ResamplingArguments],
    ) -> Estimate:
        """Test whether members and held-out images differ in kind.

        Args:
            members: Positions of the members.
            holdout: Positions of the held-out images.
            resampling: As for :func:`~lightly_memloc.functional.blind_test`.
        """
        groups = resampling.get("groups")
        return blind_test(*self.blind_scores(members, holdout, groups), **resampling)

    def matched(
        self,
        members: NDArray[np.int64],
        holdout: NDArray[np.int64],
        groups: NDArray[Any] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions of members and held-out images that have a counterpart.

        Args:
            members: Positions of the members.
            holdout: Positions of the held-out images.
            groups: Group of each of these images, members first.
        """
        pairs = matched_images(*self.blind_scores(members, holdout, groups))
        return members[pairs[0]], holdout[pairs[1]]

    def blind_scores(
        self,
        members: NDArray[np.int64],
        holdout: NDArray[np.int64],
        groups: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Predict membership from the covariates.

        Args:
            members: Positions of the members.
            holdout: Positions of the held-out images.
            groups: Group of each of these images, members first.

        Returns:
            Scores of the members and of the held-out images, as those of
            :func:`~lightly_memloc.functional.blind_scores`.
        """
        rows = np.concatenate([members, holdout])
        of_layers = [values[rows] for values in self._distances.values()]
        features = [self._shared[rows], self._one_hot(rows), *of_layers]
        x = np.concatenate(features, axis=1)
        return blind_scores(x[: len(members)], x[len(members) :], groups)

    def _one_hot(self, rows: NDArray[np.int64]) -> Array:
        """Indicators of all classes but the first."""
        if self._class is None:
            return np.zeros((len(rows), 0))
        indicators = pd.get_dummies(self._class[rows]).to_numpy(dtype=np.float64)
        return np.asarray(indicators[:, 1:])
