"""LayerMem: from the readings of each image to estimates of each layer."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.estimation.covariates import ENOUGH, Covariates
from lightly_memloc.estimation.matching import matched_readings
from lightly_memloc.estimation.readings import Readings
from lightly_memloc.functional import (
    Estimate,
    adjusted_gap,
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    ssl_mem,
    symmetric_layer_mem,
)
from lightly_memloc.functional.resampling import ResamplingArguments, group_numbers
from lightly_memloc.results import LayerMemResult
from lightly_memloc.results.table_file import MANY_ROWS

Array = NDArray[np.float64]
Estimator = Callable[..., Estimate]

_GAP_NOTE = (
    "The alignment gap is valid only where candidates and external images are "
    "exchangeable, as in a random split: the images' own difficulty stays in it."
)
_TOP_NOTE = (
    "top_k and least_k are ranked by the last layer's SSLMem over the first half of the "
    "views, and averaged over the second half."
)
_FEW_VIEWS_NOTE = (
    "top_k and least_k need images ranked on other views than those that are averaged: "
    "measure with at least four views."
)


def estimate_layer_mem(
    readings: Readings, settings: Mapping[str, Any], n_resamples: int = 2000
) -> LayerMemResult:
    """Estimate LayerMem and SSLMem from alignment distances.

    Args:
        readings: The distances.
        settings: Settings of the measurement, with ``normalization``, ``top_k`` and
            ``seed``; ``matched`` to compare only members and held-out images that are
            alike.
        n_resamples: Bootstrap resamples and permutations.
    """
    notes = [_GAP_NOTE]
    before: dict[str, Any] = {}
    if settings.get("matched"):
        before["blind_before"] = _Estimates(readings, settings, n_resamples).blind()
        readings, note = matched_readings(readings)
        notes.append(note)
    top_k = min(int(settings["top_k"]), int((readings.roles == "candidate").sum()) // 2)
    estimates = _Estimates(readings, settings, n_resamples)
    if estimates.has_reference:
        notes.append(_TOP_NOTE if readings.halves else _FEW_VIEWS_NOTE)
    settings = {
        **settings,
        "top_k": top_k,
        "images": readings.images["role"].value_counts().to_dict(),
        "blind": estimates.blind(),
        **before,
        "notes": notes,
    }
    frame = pd.DataFrame(list(readings.layers), columns=["layer", "kind"])
    images = readings.images.reset_index(drop=True)
    distances = {
        f"{encoder}:{name}": values[:, column]
        for encoder, values in readings.distances.items()
        for column, name in enumerate(readings.names)
    }
    scores = pd.DataFrame(estimates.m, columns=readings.names)
    tables = {
        "layers": pd.concat([frame, estimates.layers(top_k)], axis=1),
        "samples": pd.concat([images, scores], axis=1),
        "distances": pd.concat([images, pd.DataFrame(distances)], axis=1),
        "control": pd.concat([frame, estimates.control()], axis=1),
    }
    if readings.covariates is not None:
        tables["covariates"] = pd.concat(
            [images, readings.covariates.reset_index(drop=True)], axis=1
        )
    if estimates.halves is not None:
        of_halves = {
            f"{half}:{name}": estimates.halves[:, column, number]
            for number, half in enumerate(("first", "second"))
            for column, name in enumerate(readings.names)
        }
        tables["halves"] = pd.concat([images, pd.DataFrame(of_halves)], axis=1)
    return LayerMemResult(settings, tables)


class _Estimates:
    """Estimates of each layer from the values of each image."""

    def __init__(
        self, readings: Readings, settings: Mapping[str, Any], n_resamples: int
    ) -> None:
        f, g = readings.distances["f"], readings.distances.get("g")
        self.has_reference = g is not None
        self.normalization = settings["normalization"]
        self.m = self._scores(f, g)
        self.halves: Array | None = None
        if self.has_reference and readings.halves:
            by_half = readings.halves["f"], readings.halves["g"]
            self.halves = self._scores(*by_half)
        self.distances, self.encoders = f, readings.distances
        self.rows = {
            role: np.flatnonzero(readings.roles == role)
            for role in ("candidate", "independent", "external")
        }
        self.group, self.stratum = readings.column("group"), readings.column("stratum")
        self.names = readings.names
        self.covariates = Covariates.of_readings(readings)
        self.resampling: ResamplingArguments = {
            "n_resamples": n_resamples,
            "seed": int(settings["seed"]),
        }

    def layers(self, top_k: int) -> pd.DataFrame:
        """One row per layer, all estimates."""
        return pd.DataFrame(
            self._of(layer_mem, "candidate").columns("layer_mem")
            | self._of(delta_layer_mem, "candidate").columns("delta")
            | self._extremes(top_k)
            | self._contrast(calibrated_layer_mem, "candidate", "external").columns(
                "calibrated"
            )
            | self._contrast(symmetric_layer_mem, "candidate", "independent").columns(
                "symmetric"
            )
            | self._gap("candidate", "external").columns("alignment_gap")
            | self._adjusted_gap("candidate", "external").columns("adjusted_gap")
            | {
                role: self._mean(self.m[self.rows[role]])
                for role in ("external", "independent")
            }
            | self._contrast(
                calibrated_layer_mem, "candidate", "external", steps=True
            ).columns("calibrated_delta")
            | self._contrast(
                symmetric_layer_mem, "candidate", "independent", steps=True
            ).columns("symmetric_delta")
            | {"repeats": self._repeats()}
        )

    def blind(self) -> dict[str, float] | None:
        """The blind test of members against held-out images, for a single encoder."""
        roles = "candidate", "external"
        if self.covariates is None or self.has_reference or not self._are_enough(roles):
            return None
        members, holdout = (self.rows[role] for role in roles)
        both = np.concatenate([members, holdout])
        resampling: ResamplingArguments = {
            **self.resampling,
            "groups": self._chosen(self.group, both),
            "strata": self._chosen(self.stratum, both),
        }
        auc = self.covariates.blind(members, holdout, **resampling)
        return {name: float(value) for name, value in auc.columns("auc").items()}

    def control(self) -> pd.DataFrame:
        """One row per layer, estimates on external images alone."""
        rng, external = np.random.default_rng(self.resampling["seed"]), "external"
        rows = self.rows[external]
        group, first = group_numbers(self._chosen(self.group, rows), len(rows))
        halves = np.array_split(rng.permutation(len(first)), 2)
        for name, half in zip(("first", "second"), halves, strict=True):
            self.rows[name] = rows[np.isin(group, half)]
        return pd.DataFrame(
            self._of(layer_mem, external).columns("layer_mem")
            | self._contrast(symmetric_layer_mem, "first", "second").columns(
                "symmetric"
            )
            | self._gap("first", "second").columns("alignment_gap")
            | self._adjusted_gap("first", "second").columns("adjusted_gap")
        )

    def _scores(self, f: Array, g: Array | None) -> Array:
        if g is None:
            return np.full_like(f, np.nan)
        scores = np.asarray(ssl_mem(f, g, self.normalization), dtype=np.float64)
        if len(scores) < MANY_ROWS:
            return scores
        # The precision of measured distances; digits beyond it only fill the disk.
        return scores.astype(np.float32).astype(np.float64)

    def _of(self, estimator: Estimator, role: str) -> Estimate:
        rows = self.rows[role]
        groups = self._chosen(self.group, rows)
        if not self.has_reference or len(group_numbers(groups, len(rows))[1]) < 2:
            return self._unknown()
        return estimator(self.m[rows], groups=groups, **self.resampling)

    def _contrast(
        self, estimator: Estimator, *roles: str, steps: bool = False
    ) -> Estimate:
        if not self.has_reference:
            return self._unknown()
        options = {"normalization": self.normalization, "steps": steps}
        return self._between(estimator, self.m, roles, **options)

    def _gap(self, *roles: str) -> Estimate:
        return self._between(alignment_gap, self.distances, roles)

    def _adjusted_gap(self, *roles: str) -> Estimate:
        if self.covariates is None or not self._are_enough(roles):
            return self._unknown()
        sets = [self.rows[role] for role in roles]
        if not self.covariates.share_classes(*sets):
            return self._unknown()
        rows = np.concatenate(sets)
        adjusted = self._between(
            adjusted_gap,
            self.distances,
            roles,
            covariates=self.covariates.by_layer(rows),
        )
        # On another scale than the estimate.
        return replace(adjusted, error=None)

    def _are_enough(self, roles: tuple[str, ...]) -> bool:
        """Whether each role has enough images, or groups of them, to adjust."""
        groups = (self._chosen(self.group, self.rows[role]) for role in roles)
        numbers = (
            len(group_numbers(of, len(self.rows[role]))[1])
            for of, role in zip(groups, roles, strict=True)
        )
        return min(numbers) >= ENOUGH

    def _between(
        self,
        estimator: Estimator,
        values: Array,
        roles: tuple[str, ...],
        **options: Any,
    ) -> Estimate:
        sets = [self.rows[role] for role in roles]
        groups = [self._chosen(self.group, rows) for rows in sets]
        numbers = (
            len(group_numbers(of, len(rows))[1])
            for of, rows in zip(groups, sets, strict=True)
        )
        if min(numbers) < 2:
            return self._unknown()
        both = np.concatenate(sets)
        return estimator(
            *(values[rows] for rows in sets),
            groups=self._chosen(self.group, both),
            strata=self._chosen(self.stratum, both),
            **options,
            **self.resampling,
        )

    def _extremes(self, top_k: int) -> dict[str, Array]:
        """Means of the candidates that other views rank highest and lowest."""
        rows = self.rows["candidate"]
        if self.halves is None:
            return dict.fromkeys(("top_k", "least_k"), self._mean(self.m[:0]))
        first, second = np.moveaxis(self.halves[rows], 2, 0)
        # A stable order, so that equal scores rank the same way everywhere.
        ranked = second[np.argsort(-first[:, -1], kind="stable")]
        return {
            "top_k": self._mean(ranked[:top_k]),
            "least_k": self._mean(ranked[len(ranked) - top_k :]),
        }

    def _repeats(self) -> list[str]:
        """For each layer, the first layer with the same distances; empty if none."""
        repeats: list[str] = []
        for column in range(len(self.names)):
            equal = (
                name
                for before, name in enumerate(self.names[:column])
                if all(
                    np.allclose(of[:, before], of[:, column], rtol=1e-6, atol=0)
                    for of in self.encoders.values()
                )
            )
            repeats.append(next(equal, ""))
        return repeats

    def _unknown(self) -> Estimate:
        return Estimate.unknown(
            len(self.names), "p_adjusted", "simultaneous_low", "simultaneous_high"
        )

    def _mean(self, values: Array) -> Array:
        return values.mean(axis=0) if len(values) else np.full(len(self.names), np.nan)

    @staticmethod
    def _chosen(
        of_images: NDArray[Any] | None, rows: NDArray[np.int64]
    ) -> NDArray[Any] | None:
        return None if of_images is None else of_images[rows]
