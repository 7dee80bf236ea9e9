"""LayerMem: from the readings of each image to estimates of each layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.estimation.readings import Readings
from lightly_memloc.functional import (
    Estimate,
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    ssl_mem,
    symmetric_layer_mem,
)
from lightly_memloc.results import LayerMemResult

Array = NDArray[np.float64]
Estimator = Callable[..., Estimate]

_GAP_NOTE = (
    "The alignment gap is valid only where candidates and external images are "
    "exchangeable, as in a random split: the images' own difficulty stays in it."
)
_TOP_NOTE = (
    "Images are ranked by the last layer's SSLMem, so top_k and least_k of that layer "
    "are selected on what they average."
)


def estimate_layer_mem(
    readings: Readings, settings: Mapping[str, Any], n_resamples: int = 2000
) -> LayerMemResult:
    """Estimate LayerMem and SSLMem from alignment distances.

    Args:
        readings: The distances.
        settings: Settings of the measurement, with ``normalization``, ``top_k`` and
            ``seed``.
        n_resamples: Bootstrap resamples and permutations.
    """
    f, g = readings.distances["f"], readings.distances.get("g")
    if g is None:
        m: NDArray[Any] = np.full_like(f, np.nan)
    else:
        m = ssl_mem(f, g, settings["normalization"])
    roles = readings.roles
    top_k = min(int(settings["top_k"]), int((roles == "candidate").sum()) // 2)
    settings = {
        **settings,
        "top_k": top_k,
        "images": readings.images["role"].value_counts().to_dict(),
        "notes": [_GAP_NOTE] + ([_TOP_NOTE] if g is not None else []),
    }
    frame = pd.DataFrame(list(readings.layers), columns=["layer", "kind"])
    resampling = {"n_resamples": n_resamples, "seed": int(settings["seed"])}
    estimates = _Estimates(m, f, roles, resampling)
    distances = pd.DataFrame(
        {
            f"{encoder}:{name}": values[:, column]
            for encoder, values in readings.distances.items()
            for column, name in enumerate(readings.names)
        }
    )
    images = readings.images.reset_index(drop=True)
    scores = pd.DataFrame(m, columns=readings.names)
    return LayerMemResult(
        settings,
        {
            "layers": pd.concat([frame, estimates.layers(top_k)], axis=1),
            "samples": pd.concat([images, scores], axis=1),
            "distances": pd.concat([images, distances], axis=1),
            "control": pd.concat([frame, estimates.control()], axis=1),
        },
    )


class _Estimates:
    """Estimates of each layer from the values of each image."""

    def __init__(
        self,
        m: Array,
        distances_f: Array,
        roles: NDArray[Any],
        resampling: dict[str, int],
    ) -> None:
        self.m = {role: m[roles == role] for role in set(roles)}
        self.a = {role: distances_f[roles == role] for role in set(roles)}
        self.n_layers = m.shape[1]
        self.resampling = resampling

    def layers(self, top_k: int) -> pd.DataFrame:
        """One row per layer, all estimates."""
        candidate = self.m["candidate"]
        # A stable order, so that equal scores rank the same way everywhere.
        ranked = candidate[np.argsort(-candidate[:, -1], kind="stable")]
        return pd.DataFrame(
            self._of(layer_mem, "candidate").columns("layer_mem")
            | self._of(delta_layer_mem, "candidate").columns("delta")
            | {
                "top_k": _mean(ranked[:top_k], self.n_layers),
                "least_k": _mean(ranked[len(ranked) - top_k :], self.n_layers),
            }
            | self._of(calibrated_layer_mem, "candidate", "external").columns(
                "calibrated"
            )
            | self._of(symmetric_layer_mem, "candidate", "independent").columns(
                "symmetric"
            )
            | self._gap("candidate", "external").columns("alignment_gap")
            | {
                role: _mean(self.m.get(role, candidate[:0]), self.n_layers)
                for role in ("external", "independent")
            }
            | self._steps(calibrated_layer_mem, "candidate", "external").columns(
                "calibrated_delta"
            )
            | self._steps(symmetric_layer_mem, "candidate", "independent").columns(
                "symmetric_delta"
            )
        )

    def control(self) -> pd.DataFrame:
        """One row per layer, estimates on external images alone."""
        external = self.m.get("external", np.empty((0, self.n_layers)))
        order = np.random.default_rng(self.resampling["seed"]).permutation(
            len(external)
        )
        halves = np.array_split(order, 2)
        for name, half in zip(("first", "second"), halves, strict=True):
            self.m[name] = external[half]
            self.a[name] = self.a["external"][half] if len(external) else external
        return pd.DataFrame(
            self._of(layer_mem, "external").columns("layer_mem")
            | self._of(symmetric_layer_mem, "first", "second").columns("symmetric")
            | self._gap("first", "second").columns("alignment_gap")
        )

    def _steps(self, estimator: Estimator, *roles: str) -> Estimate:
        """The difference of each layer from the one before; NaN for the first."""
        n_steps = self.n_layers - 1
        sets = [
            np.diff(self.m[role], axis=1) if role in self.m and n_steps else None
            for role in roles
        ]
        steps = self._estimate(estimator, sets, n_steps)
        return Estimate.joined([Estimate.unknown(1), steps])

    def _of(self, estimator: Estimator, *roles: str) -> Estimate:
        sets = [self.m.get(role) for role in roles]
        return self._estimate(estimator, sets, self.n_layers)

    def _gap(self, *roles: str) -> Estimate:
        sets = [self.a.get(role) for role in roles]
        return self._estimate(alignment_gap, sets, self.n_layers)

    def _estimate(
        self, estimator: Estimator, sets: Sequence[Array | None], size: int
    ) -> Estimate:
        usable = [s for s in sets if s is not None and len(s) > 1]
        if len(usable) < len(sets) or any(np.isnan(s).any() for s in usable):
            return Estimate.unknown(size)
        return estimator(*usable, **self.resampling)


def _mean(values: Array, n_layers: int) -> Array:
    return values.mean(axis=0) if len(values) else np.full(n_layers, np.nan)
