"""Comparing what was measured of one encoder: layers, images and units."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import (
    accuracy,
    difference_of_means,
    kendall_tau,
    top_overlap,
    welch_t_test,
)
from lightly_memloc.results import (
    AnalysisResult,
    ClassMemResult,
    LayerMemResult,
    UnitMemResult,
    refuse_incomparable,
)

_WHOLE = "all layers"
_SELECTED = (
    "The most and the least memorised images are ranked by SSLMem of the last layer over "
    "the first half of the views, and compared over the second half. What they share is "
    "this pair of encoders: the ranking may be that of the pair, not of the images"
)
_CONTROL = ". Compare their difference with that of the external images."
_NO_CONTROL = ", and there are no external images to compare with."
_UNDIVIDED = (
    "The most and the least memorised images are not compared: the measurement lacks "
    "the two halves of the views. Measure layer-mem again, with at least four views."
)
_DEPENDENT = (
    "Units of a layer are not independent: intervals and p-values over units are too "
    "narrow."
)


def analyze(
    layer_mem: LayerMemResult | None = None,
    unit_mem: UnitMemResult | None = None,
    class_mem: ClassMemResult | None = None,
    top_k: int = 100,
) -> AnalysisResult:
    """Compare the layers, images and units of an encoder [0].

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        layer_mem: LayerMem with a reference encoder: for the consistency of layers
            and the most against the least memorised images.
        unit_mem: UnitMem on the same candidates. With LayerMem: SSLMem against the
            number of units that an image wins; with ClassMem: the two compared.
        class_mem: ClassMem of the same units.
        top_k: How many images are the most memorised, and the least: at least two,
            and at most a quarter of the candidates.

    Raises:
        MemorizationError: If no two layers, or no two results, can be compared,
            images are not scored, or the results are of other images or units.
    """
    tables: dict[str, pd.DataFrame] = {}
    settings: dict[str, Any] = {"notes": [], "skipped": []}
    if layer_mem is not None:
        study = _Scores(layer_mem, top_k)
        settings |= {"top_k": study.k, "images": len(study.candidate)}
        tables["consistency"] = study.consistency()
        if study.halves is None:
            settings["notes"].append(_UNDIVIDED)
        else:
            tables["atypical"] = study.atypical(study.halves)
            settings["notes"].append(
                _SELECTED + (_CONTROL if len(study.external) else _NO_CONTROL)
            )
        if unit_mem is not None:
            tables["atypical_units"] = _atypical_units(study, unit_mem)
            tables["units_won"] = _won(study, unit_mem)
    if unit_mem is not None and class_mem is not None:
        units = _joined(unit_mem, class_mem)
        if len(units):
            tables["unit_class"] = _unit_class(units)
            tables["units"] = units
    if unit_mem is not None and tables:
        settings["notes"].append(_DEPENDENT)
    if not tables:
        raise MemorizationError(
            "There is nothing to compare: measure layer-mem, or unit-mem and "
            "class-mem, first."
        )
    given = [of for of in (layer_mem, unit_mem, class_mem) if of is not None]
    return AnalysisResult(settings | given[0].belongs_to(), tables)


class _Scores:
    """SSLMem of the candidates and the external images, ranked by the last layer."""

    def __init__(self, layer_mem: LayerMemResult, top_k: int) -> None:
        self.layers = layer_mem.to_pandas()["layer"].tolist()
        samples = layer_mem.samples_to_pandas().set_index("index")
        self.candidate = samples[samples["role"] == "candidate"][self.layers]
        self.external = samples[samples["role"] == "external"][self.layers]
        if self.candidate.isna().any(axis=None):
            raise MemorizationError(
                "Images are compared by SSLMem, which needs a reference encoder."
            )
        if len(self.candidate) < 8 or len(self.layers) < 2:
            raise MemorizationError(
                "Expected at least eight candidates and two layers, got "
                f"{len(self.candidate)} and {len(self.layers)}."
            )
        if top_k < 2:
            raise MemorizationError(f"Expected top_k of at least two, got {top_k}.")
        self.k = int(min(top_k, len(self.candidate) // 4))
        self.last = self.candidate[self.layers[-1]]
        self.most, self.least = _extremes(self.last, self.k)
        self.halves = self._halves(layer_mem)

    def _halves(self, layer_mem: LayerMemResult) -> tuple[pd.DataFrame, ...] | None:
        """SSLMem over either half of the views, if it was measured."""
        if "halves" not in layer_mem.tables:
            return None
        halves = layer_mem.to_pandas("halves").set_index("index")
        return tuple(
            halves[[f"{half}:{layer}" for layer in self.layers]].set_axis(
                self.layers, axis=1
            )
            for half in ("first", "second")
        )

    def consistency(self) -> pd.DataFrame:
        """One row per pair of layers, in forward order."""
        rows = []
        for i, first in enumerate(self.layers):
            for j, second in enumerate(self.layers[i + 1 :], start=i + 1):
                overlap = self._overlap(first, second)
                rows.append(
                    {
                        "layer": first,
                        "other": second,
                        "distance": j - i,
                        "overlap": overlap["overlap"],
                        "chance": self.k / len(self.candidate),
                        "overlap_p": overlap["overlap_p"],
                        **_tau("tau", self.candidate[first], self.candidate[second]),
                        **_tau(
                            "external_tau", self.external[first], self.external[second]
                        ),
                    }
                )
        return pd.DataFrame(rows)

    def _overlap(self, first: str, second: str) -> dict[str, float]:
        scores = self.candidate[[first, second]]
        overlap = top_overlap(scores[first], scores[second], self.k).columns("overlap")
        if (scores.nunique() == 1).any():
            # Equal scores are ranked by their order, which is the same in both.
            return dict.fromkeys(overlap, np.nan)
        return overlap

    def atypical(self, halves: tuple[pd.DataFrame, ...]) -> pd.DataFrame:
        """One row per layer: the most against the least memorised, and a control."""
        table = pd.DataFrame({"layer": self.layers})
        images = self.candidate.index
        table = table.assign(**_contrast("", halves, images, self.k))
        k = round(self.k * len(self.external) / len(self.candidate))
        if k < 2:
            return table
        of_external = _contrast("external_", halves, self.external.index, k)
        return table.assign(**of_external)


def _extremes(scores: pd.Series, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Indices of the images with the highest and the lowest scores."""
    ranked = scores.sort_values(ascending=False, kind="stable").index.to_numpy()
    return ranked[:k], ranked[-k:]


def _contrast(
    prefix: str, halves: tuple[pd.DataFrame, ...], images: pd.Index, k: int
) -> dict[str, Any]:
    """The images that the first half of the views ranks, compared over the second."""
    first, second = (half.loc[images] for half in halves)
    most, least = _extremes(first.iloc[:, -1], k)
    high, low = second.loc[most].to_numpy(), second.loc[least].to_numpy()
    t, p = welch_t_test(high, low)
    columns = {
        "most": high.mean(0),
        "least": low.mean(0),
        **replace(difference_of_means(high, low), p=None).columns("difference"),
        "t": t,
        "t_p": p,
    }
    return {f"{prefix}{name}": values for name, values in columns.items()}


def _tau(name: str, first: pd.Series, second: pd.Series) -> dict[str, Any]:
    if not len(first):
        return {f"{name}{ending}": np.nan for ending in ("", "_low", "_high", "_p")}
    return kendall_tau(first, second).columns(name)


def _live(unit_mem: UnitMemResult, scores: _Scores) -> pd.DataFrame:
    units = unit_mem.to_pandas()
    units = units[~units["dead"]]
    measured = unit_mem.settings.get("images", len(scores.candidate))
    if (
        measured != len(scores.candidate)
        or not units["index"].isin(scores.candidate.index).all()
    ):
        raise MemorizationError(
            "UnitMem was measured on other images than LayerMem's candidates: measure "
            "both on the same run."
        )
    return units


def _with_whole(units: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Units by layer, then those of all layers."""
    by_layer = [(str(layer), of) for layer, of in units.groupby("layer", sort=False)]
    return [*by_layer, (_WHOLE, units)]


def _atypical_units(scores: _Scores, unit_mem: UnitMemResult) -> pd.DataFrame:
    rows = []
    for layer, of in _with_whole(_live(unit_mem, scores)):
        most, least = (
            of["unit_mem"][of["index"].isin(images)].to_numpy()
            for images in (scores.most, scores.least)
        )
        t, p = (np.nan, np.nan)
        if min(len(most), len(least)) > 1:
            t, p = (float(value) for value in welch_t_test(most, least))
        rows.append(
            {
                "layer": layer,
                "units_most": len(most),
                "units_least": len(least),
                "unit_mem_most": most.mean() if len(most) else np.nan,
                "unit_mem_least": least.mean() if len(least) else np.nan,
                "t": t,
                "t_p": p,
            }
        )
    return pd.DataFrame(rows)


def _won(scores: _Scores, unit_mem: UnitMemResult) -> pd.DataFrame:
    rows = []
    for layer, of in _with_whole(_live(unit_mem, scores)):
        number = of["index"].value_counts().reindex(scores.last.index, fill_value=0)
        winners, others = scores.last[number > 0], scores.last[number == 0]
        row = {
            "layer": layer,
            "units": len(of),
            **_tau("tau", scores.last, number),
            "images": len(winners),
            "winners": winners.mean(),
            "others": others.mean(),
            **_difference(winners.to_numpy(), others.to_numpy()),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _difference(first: Any, second: Any) -> dict[str, float]:
    """Difference of two sets' means; NaN with fewer than two images in one."""
    if min(len(first), len(second)) < 2:
        names = ("difference", "difference_low", "difference_high", "difference_p")
        return dict.fromkeys(names, np.nan)
    difference = replace(difference_of_means(first, second), p_adjusted=None)
    columns = difference.columns("difference")
    return {name: float(values[0]) for name, values in columns.items()}


def _joined(unit_mem: UnitMemResult, class_mem: ClassMemResult) -> pd.DataFrame:
    images = [of.settings.get("images") for of in (unit_mem, class_mem)]
    if images[0] != images[1]:
        raise MemorizationError(
            f"UnitMem was measured on {images[0]} images and ClassMem on {images[1]}: "
            "measure both on the same ones."
        )
    refuse_incomparable([unit_mem, class_mem])
    first, second = unit_mem.to_pandas(), class_mem.to_pandas()
    both = first.merge(second, on=["layer", "unit"], suffixes=("", "_class"))
    if len(both) < len(first) or len(both) < len(second):
        raise MemorizationError(
            f"UnitMem has {len(first)} units and ClassMem {len(second)}, of which "
            f"{len(both)} are the same: measure both on the same layers."
        )
    live = both[~(both["dead"] | both["dead_class"])]
    return live[["layer", "unit", "unit_mem", "class_mem"]].reset_index(drop=True)


def _unit_class(units: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for layer, of in _with_whole(units):
        above = accuracy(
            (of["unit_mem"] > of["class_mem"]).to_numpy(), np.ones(len(of), dtype=bool)
        )
        rows.append(
            {
                "layer": layer,
                "units": len(of),
                "unit_mem": of["unit_mem"].mean(),
                "class_mem": of["class_mem"].mean(),
                **above.columns("above"),
                **_tau("tau", of["unit_mem"], of["class_mem"]),
            }
        )
    return pd.DataFrame(rows)
