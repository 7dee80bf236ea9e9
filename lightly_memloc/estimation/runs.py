"""SSLMem over several runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import (
    cross_fitted_mean,
    holm_p,
    moderated_mean,
    q_values,
    run_correlation,
    run_scores,
    split_half_reliability,
    student_mean,
    top_scores,
)
from lightly_memloc.functional.resampling import permuted_labels
from lightly_memloc.results import LayerMemResult, SSLMemRunsResult

Array = NDArray[np.float64]

_SIGNS = {"candidate": 1, "independent": -1, "external": 0}
_UNMEASURED = 2
_TOP_SHARE = 0.1
_TWO_NOTE = "Two runs give no intervals: train at least a third."


def combine_runs(
    runs: Mapping[str, LayerMemResult],
    left_out: Mapping[str, str],
    seed: int,
) -> SSLMemRunsResult:
    """Estimate SSLMem over several runs, without the runs' offsets.

    Layers have Student's t intervals over runs. Each image is tested by
    :func:`~lightly_memloc.functional.moderated_mean`, and q is computed over the images
    of a layer.

    Args:
        runs: LayerMem of each run of the same data set, by the run's name.
        left_out: Runs that could not be measured, with the reason.
        seed: Seed of the shuffled roles, and of exchanged roles where there are too many
            exchanges to try all.

    Raises:
        MemorizationError: If there are fewer than two runs, or they differ in their
            layers.
    """
    if len(runs) < 2:
        reasons = "".join(f" {name}: {why}" for name, why in left_out.items())
        raise MemorizationError(
            f"Expected at least two runs, got {len(runs)}.{reasons}"
        )
    first = next(iter(runs.values()))
    layers = [result.to_pandas()[["layer", "kind"]] for result in runs.values()]
    different = [
        name
        for name, of_run in zip(runs, layers, strict=True)
        if not of_run.equals(layers[0])
    ]
    if different:
        raise MemorizationError(
            f"{', '.join(different)} measured other layers than {next(iter(runs))}: "
            "runs of one encoder and one method belong together."
        )
    names = layers[0]["layer"].tolist()
    samples = pd.concat(
        [result.samples_to_pandas() for result in runs.values()], keys=list(runs)
    )
    images = samples.drop_duplicates("index").sort_values("index", ignore_index=True)
    m, roles = _stacked(runs, images["index"].to_numpy(), names)
    lacking = [
        name
        for name, signs in zip(runs, roles, strict=True)
        if not ((signs == 1).any() and np.isin(signs, (-1, 0)).any())
    ]
    if lacking:
        raise MemorizationError(
            f"{', '.join(lacking)} measured no candidates, or neither independent "
            "nor external images to compare them with."
        )
    normalization = first.settings.get("normalization", "relative")
    scores = run_scores(m, roles, normalization)
    by_chance = _shuffled(roles, images, seed)
    shuffled = run_scores(m, by_chance, normalization).layer_mem
    published = np.stack(
        [result.to_pandas()["layer_mem"].to_numpy() for result in runs.values()]
    )
    of_layers = np.moveaxis(scores.scores, 2, 0)
    top = np.stack([top_scores(of, _TOP_SHARE) for of in of_layers], axis=1)
    per_run = {
        "ssl_mem": scores.layer_mem,
        "top": top,
        "shuffled": shuffled,
        "layer_mem": published,
        "offset": scores.offset,
    }
    reliability = [split_half_reliability(of, seed) for of in of_layers]
    table = layers[0].assign(runs=len(runs))
    for name, of_runs in per_run.items():
        mean = (cross_fitted_mean if name == "top" else student_mean)(of_runs)
        adjusted = replace(mean, p_adjusted=holm_p(np.asarray(mean.p)))
        table = table.assign(**adjusted.columns(name))
    table = table.assign(
        reliability=reliability,
        run_correlation=[run_correlation(of) for of in of_layers],
    )
    return SSLMemRunsResult(
        {
            "runs": list(runs),
            "left_out": dict(left_out),
            **{
                name: first.settings[name]
                for name in ("n_views", "pairs", "normalize", "normalization")
                if name in first.settings
            },
            "seed": seed,
            "view_seeds": {name: of.settings["seed"] for name, of in runs.items()},
            "top_share": _TOP_SHARE,
            "skipped": sorted(
                {s for r in runs.values() for s in r.settings["skipped"]}
            ),
            "fingerprints": {
                "runs": {
                    name: of.settings.get("fingerprints", {})
                    for name, of in runs.items()
                }
            },
            "notes": [_TWO_NOTE] if len(runs) == 2 else [],
        },
        {
            "layers": table,
            "runs": _long({"run": list(runs), "layer": names}, per_run),
            "samples": _samples(images, names, of_layers, reliability, seed),
        },
    )


def _stacked(
    runs: Mapping[str, LayerMemResult], index: NDArray[Any], layers: list[str]
) -> tuple[Array, NDArray[np.int64]]:
    """SSLMem ``(K, N, L)`` and signs of the roles ``(K, N)`` of all images."""
    m = np.full((len(runs), len(index), len(layers)), np.nan)
    roles = np.full(m.shape[:2], _UNMEASURED)
    for run, result in enumerate(runs.values()):
        samples = result.samples_to_pandas()
        rows = np.searchsorted(index, samples["index"])
        m[run, rows] = samples[layers]
        roles[run, rows] = samples["role"].map(_SIGNS)
    return m, roles


def _shuffled(
    roles: NDArray[np.int64], images: pd.DataFrame, seed: int
) -> NDArray[np.int64]:
    """Roles shuffled in each run, among the images of the roles that are contrasted.

    Groups of images keep one role, and strata keep the number of each role.
    """
    rng, shuffled = np.random.default_rng(seed), roles.copy()
    for run in shuffled:
        other = -1 if (run == -1).any() else 0
        among = np.isin(run, (1, other))
        groups, strata = (
            images[name].to_numpy()[among] if name in images else None
            for name in ("group", "stratum")
        )
        (labels,) = permuted_labels(run[among] == 1, 1, rng, groups, strata)
        run[among] = np.where(labels[0], 1, other)
    return shuffled


def _long(keys: dict[str, list[str]], columns: dict[str, Array]) -> pd.DataFrame:
    rows = pd.MultiIndex.from_product(list(keys.values()), names=list(keys))
    return pd.DataFrame(
        {name: values.ravel() for name, values in columns.items()}, rows
    ).reset_index()


def _samples(
    images: pd.DataFrame,
    layers: list[str],
    scores: Array,
    reliability: list[float],
    seed: int,
) -> pd.DataFrame:
    """One row per scored image and layer, from scores of shape ``(L, K, N)``."""
    tables = []
    for layer, of_layer, trust in zip(layers, scores, reliability, strict=True):
        mean, by_chance = moderated_mean(of_layer, seed=seed)
        assert mean.n is not None
        assert mean.p is not None
        average, scored = np.nanmean(mean.value), mean.n > 0
        shrunk = average + np.clip(trust, 0, 1) * (mean.value - average)
        table = images[["index", "filename"]].assign(layer=layer, runs=mean.n)
        table = table.assign(**mean.columns("ssl_mem"))
        table["ssl_mem_q"] = q_values(mean.p)
        table["ssl_mem_shrunk"], table["by_chance"] = shrunk, by_chance
        tables.append(table[scored])
    # Stable: the layers of an image stay in forward order.
    return pd.concat(tables).sort_values("index", kind="stable", ignore_index=True)
