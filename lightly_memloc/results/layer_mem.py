"""The result of measuring LayerMem."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lightly_memloc.functional import (
    Estimate,
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    ssl_mem,
    symmetric_layer_mem,
)
from lightly_memloc.results.columns import estimate_columns
from lightly_memloc.results.result import Result

Array = NDArray[np.float64]

_GAP_NOTE = (
    "The alignment gap is valid only where candidates and external images are "
    "exchangeable, as in a random split: the images' own difficulty stays in it."
)
_TOP_NOTE = (
    "Images are ranked by the last layer's SSLMem, so top_k and least_k of that layer "
    "are selected on what they average."
)


class LayerMemResult(Result):
    """LayerMem of each layer and SSLMem of each image."""

    kind = "layer-mem"

    @classmethod
    def from_distances(
        cls,
        layers: Sequence[tuple[str, str]],
        images: pd.DataFrame,
        distances_f: Array,
        distances_g: Array | None,
        settings: dict[str, Any],
        n_resamples: int,
    ) -> "LayerMemResult":
        """Estimate LayerMem from the alignment distances of each image and layer.

        Args:
            layers: Name and kind of L layers in forward order.
            images: A row an image with ``index``, ``filename`` and ``role``.
            distances_f: Alignment distances under f, shape ``(N, L)``.
            distances_g: The same under g; None if there is no reference encoder.
            settings: Settings of the measurement, with ``normalization``, ``top_k`` and
                ``seed``.
            n_resamples: Bootstrap resamples and permutations.
        """
        names = [name for name, _ in layers]
        roles = images["role"].to_numpy()
        if distances_g is None:
            m = np.full_like(distances_f, np.nan)
        else:
            m = ssl_mem(
                torch.from_numpy(distances_f),
                torch.from_numpy(distances_g),
                settings["normalization"],
            ).numpy()
        top_k = min(int(settings["top_k"]), int((roles == "candidate").sum()) // 2)
        settings = settings | {
            "top_k": top_k,
            "images": images["role"].value_counts().to_dict(),
            "notes": [_GAP_NOTE] + ([_TOP_NOTE] if distances_g is not None else []),
        }
        frame = pd.DataFrame(layers, columns=["layer", "kind"])
        resampling = {"n_resamples": n_resamples, "seed": int(settings["seed"])}
        estimates = _Estimates(m, distances_f, roles, resampling)
        distances = {f"f:{name}": distances_f[:, i] for i, name in enumerate(names)}
        if distances_g is not None:
            distances |= {
                f"g:{name}": distances_g[:, i] for i, name in enumerate(names)
            }
        scores = pd.DataFrame(m, columns=names)
        return cls(
            settings,
            {
                "layers": pd.concat([frame, estimates.layers(top_k)], axis=1),
                "samples": pd.concat([images, scores], axis=1),
                "distances": pd.concat([images, pd.DataFrame(distances)], axis=1),
                "control": pd.concat([frame, estimates.control()], axis=1),
            },
        )

    @property
    def estimate(self) -> str | None:
        """The best estimate at hand, or None if there is none without the offset.

        It is ``"symmetric"``, else ``"calibrated"``, else ``"alignment_gap"``.
        """
        layers = self.tables["layers"]
        names = ("symmetric", "calibrated", "alignment_gap")
        return next((name for name in names if layers[name].notna().any()), None)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a layer, in forward order.

        Columns: ``layer``, ``kind``, ``layer_mem`` (as published), ``delta``,
        ``top_k`` and ``least_k`` (mean SSLMem of the most and least memorised
        candidates), ``calibrated``, ``symmetric`` and ``alignment_gap``, and
        ``external`` and ``independent`` (the published mean over those images);
        ``calibrated_delta`` and ``symmetric_delta``, the steps from the layer before.
        Each estimate has its interval and p-value in ``_low``, ``_high`` and ``_p``.
        NaN where the split lacks the set or there is no reference encoder.
        """
        return self.tables["layers"].copy()

    def samples_to_pandas(self) -> pd.DataFrame:
        """Return a row an image: index, filename, role, and SSLMem in each layer."""
        return self.tables["samples"].copy()

    def distances_to_pandas(self) -> pd.DataFrame:
        """Return a row an image: index, filename, role, and alignment distances.

        Columns ``f:<layer>`` hold the distances under f, ``g:<layer>`` those under g.
        """
        return self.tables["distances"].copy()

    def control_to_pandas(self) -> pd.DataFrame:
        """Return what the same estimators say of images that no encoder was trained on.

        A row a layer: ``layer_mem`` of the external images (tested against zero: what
        the published metric 'finds' there is offset), and ``symmetric`` and
        ``alignment_gap`` between two random halves of them. NaN without external
        images.
        """
        return self.tables["control"].copy()

    def scalars(self) -> dict[str, float]:
        """Return an entry a layer of each estimate that there is.

        They are ``layer_mem/<layer>``, ``calibrated/<layer>``, ``symmetric/<layer>``
        and ``alignment_gap/<layer>``.
        """
        metrics = ("layer_mem", "calibrated", "symmetric", "alignment_gap")
        return {
            name: value
            for metric in metrics
            for name, value in self._by_layer(metric, metric).items()
        }

    def top_samples(self, k: int = 10) -> pd.DataFrame:
        """Return the k candidates with the highest SSLMem in the last layer.

        Columns: ``index``, ``filename``, ``ssl_mem``; the highest first.
        """
        samples = self.tables["samples"]
        candidates = samples[samples["role"] == "candidate"]
        last = str(self.tables["layers"]["layer"].iloc[-1])
        ranked = candidates.sort_values([last, "index"], ascending=[False, True])
        top = ranked[["index", "filename", last]].head(k).reset_index(drop=True)
        return top.rename(columns={last: "ssl_mem"})


class _Estimates:
    """Estimates of each layer from what was measured of each image."""

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
        """A row a layer, all estimates."""
        candidate = self.m["candidate"]
        # A stable order, so that equal scores rank the same way everywhere.
        ranked = candidate[np.argsort(-candidate[:, -1], kind="stable")]
        return pd.DataFrame(
            estimate_columns("layer_mem", self._of(layer_mem, "candidate"))
            | estimate_columns("delta", self._of(delta_layer_mem, "candidate"))
            | {
                "top_k": _mean(ranked[:top_k], self.n_layers),
                "least_k": _mean(ranked[len(ranked) - top_k :], self.n_layers),
            }
            | estimate_columns(
                "calibrated", self._of(calibrated_layer_mem, "candidate", "external")
            )
            | estimate_columns(
                "symmetric", self._of(symmetric_layer_mem, "candidate", "independent")
            )
            | estimate_columns("alignment_gap", self._gap("candidate", "external"))
            | {
                role: _mean(self.m.get(role, candidate[:0]), self.n_layers)
                for role in ("external", "independent")
            }
            | estimate_columns(
                "calibrated_delta",
                self._steps(calibrated_layer_mem, "candidate", "external"),
            )
            | estimate_columns(
                "symmetric_delta",
                self._steps(symmetric_layer_mem, "candidate", "independent"),
            )
        )

    def control(self) -> pd.DataFrame:
        """A row a layer, estimates on external images alone."""
        external = self.m.get("external", np.empty((0, self.n_layers)))
        order = np.random.default_rng(self.resampling["seed"]).permutation(
            len(external)
        )
        halves = np.array_split(order, 2)
        for name, half in zip(("first", "second"), halves, strict=True):
            self.m[name] = external[half]
            self.a[name] = self.a["external"][half] if len(external) else external
        return pd.DataFrame(
            estimate_columns("layer_mem", self._of(layer_mem, "external"))
            | estimate_columns(
                "symmetric", self._of(symmetric_layer_mem, "first", "second")
            )
            | estimate_columns("alignment_gap", self._gap("first", "second"))
        )

    def _steps(self, estimator: Any, *roles: str) -> Estimate:
        """What each layer adds to the one before; NaN for the first."""
        n_steps = self.n_layers - 1
        sets = [
            np.diff(self.m[role], axis=1) if role in self.m and n_steps else None
            for role in roles
        ]
        steps = self._estimate(estimator, sets, n_steps)
        return Estimate(*(np.concatenate([[np.nan], field]) for field in steps))

    def _of(self, estimator: Any, *roles: str) -> Estimate:
        sets = [self.m.get(role) for role in roles]
        return self._estimate(estimator, sets, self.n_layers)

    def _gap(self, *roles: str) -> Estimate:
        sets = [self.a.get(role) for role in roles]
        return self._estimate(alignment_gap, sets, self.n_layers)

    def _estimate(
        self, estimator: Any, sets: list[Array | None], size: int
    ) -> Estimate:
        usable = [s for s in sets if s is not None and len(s) > 1]
        if len(usable) < len(sets) or any(np.isnan(s).any() for s in usable):
            unknown = np.full(size, np.nan)
            return Estimate(*(unknown for _ in Estimate._fields))
        estimate: Estimate = estimator(*usable, **self.resampling)
        return estimate


def _mean(values: Array, n_layers: int) -> Array:
    return values.mean(axis=0) if len(values) else np.full(n_layers, np.nan)
