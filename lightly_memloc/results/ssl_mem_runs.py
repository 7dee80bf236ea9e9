"""The result of measuring SSLMem over several runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lightly_memloc.errors import MemorizationError
from lightly_memloc.functional import StudentMean, run_scores, student_mean
from lightly_memloc.results.columns import estimate_columns
from lightly_memloc.results.layer_mem import LayerMemResult
from lightly_memloc.results.result import Result

Array = NDArray[np.float64]

_SIGNS = {"candidate": 1, "independent": -1, "external": 0}
_UNMEASURED = 2
_TWO_NOTE = "Two runs give no intervals: train at least a third."


class SSLMemRunsResult(Result):
    """SSLMem of each image and layer over several runs."""

    kind = "ssl-mem"

    @classmethod
    def from_layer_mem(
        cls,
        runs: Mapping[str, LayerMemResult],
        left_out: Mapping[str, str],
        seed: int,
    ) -> "SSLMemRunsResult":
        """Estimate from the LayerMem of each run.

        Args:
            runs: LayerMem of each run of the same data set, by the run's name.
            left_out: Runs that could not be measured, with the reason.
            seed: Seed of the shuffled roles.

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
        images = samples.drop_duplicates("index")[["index", "filename"]]
        images = images.sort_values("index", ignore_index=True)
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
        scores = run_scores(m, roles)
        shuffled = run_scores(m, _shuffled(roles, seed)).layer_mem
        published = np.stack(
            [result.to_pandas()["layer_mem"].to_numpy() for result in runs.values()]
        )
        mean = student_mean(scores.layer_mem)
        table = layers[0].assign(
            runs=len(runs),
            **estimate_columns("ssl_mem", mean),
            **estimate_columns("shuffled", student_mean(shuffled)),
            **estimate_columns("layer_mem", student_mean(published)),
            **estimate_columns("offset", student_mean(scores.offset)),
        )
        per_run = {
            "ssl_mem": scores.layer_mem,
            "shuffled": shuffled,
            "layer_mem": published,
            "offset": scores.offset,
        }
        return cls(
            {
                "runs": list(runs),
                "left_out": dict(left_out),
                **{
                    name: first.settings[name]
                    for name in ("n_views", "pairs", "normalize", "normalization")
                    if name in first.settings
                },
                "seed": seed,
                "skipped": sorted(
                    {s for r in runs.values() for s in r.settings["skipped"]}
                ),
                "notes": [_TWO_NOTE] if len(runs) == 2 else [],
            },
            {
                "layers": table,
                "runs": _long({"run": list(runs), "layer": names}, per_run),
                "samples": _samples(images, names, student_mean(scores.scores)),
            },
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return a row a layer, in forward order.

        Columns: ``layer``, ``kind``, ``runs``; ``ssl_mem``, the mean score over images
        and runs, without the runs' offsets; ``shuffled``, the same with shuffled roles:
        the null; ``layer_mem``, the published mean; ``offset``, what the runs show
        whatever was memorised. Each has standard error, interval and p-value *over
        runs* in ``_error``, ``_low``, ``_high`` and ``_p``; intervals and p-values are
        NaN with two runs.
        """
        return self.tables["layers"].copy()

    def runs_to_pandas(self) -> pd.DataFrame:
        """Return a row a run and layer: ``ssl_mem``, ``shuffled``, ``layer_mem``, ``offset``."""
        return self.tables["runs"].copy()

    def samples_to_pandas(self) -> pd.DataFrame:
        """Return a row an image and layer.

        Columns: ``index``, ``filename``, ``layer``; ``runs``, in which one of the
        encoders was trained on the image and the other was not; ``ssl_mem``, its score,
        with standard error, interval and p-value over those runs.
        """
        return self.tables["samples"].copy()

    def top_samples(self, k: int = 10) -> pd.DataFrame:
        """Return the k images with the highest score in the last layer, highest first.

        Only images that are scored in at least half of the runs are ranked, or, where
        roles are too small for that, in as many as any: the mean of few runs is high by
        chance more often.
        """
        samples = self.tables["samples"]
        last = samples["layer"] == self.tables["layers"]["layer"].iloc[-1]
        enough = min(len(self.settings["runs"]) / 2, samples["runs"].max())
        ranked = samples[last & (samples["runs"] >= enough)].sort_values(
            ["ssl_mem", "index"], ascending=[False, True]
        )
        top: pd.DataFrame = ranked.drop(columns="layer").head(k)
        return top.reset_index(drop=True)

    def scalars(self) -> dict[str, float]:
        """Return the mean score of each layer."""
        return self._by_layer("ssl_mem", "ssl_mem")


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


def _shuffled(roles: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Roles shuffled in each run, among the images of the roles that are contrasted."""
    rng, shuffled = np.random.default_rng(seed), roles.copy()
    for run in shuffled:
        among = np.isin(run, (1, -1 if (run == -1).any() else 0))
        run[among] = rng.permutation(run[among])
    return shuffled


def _long(keys: dict[str, list[str]], columns: dict[str, Array]) -> pd.DataFrame:
    rows = pd.MultiIndex.from_product(list(keys.values()), names=list(keys))
    return pd.DataFrame(
        {name: values.ravel() for name, values in columns.items()}, rows
    ).reset_index()


def _samples(
    images: pd.DataFrame, layers: list[str], mean: StudentMean
) -> pd.DataFrame:
    rows = images.loc[images.index.repeat(len(layers))].reset_index(drop=True)
    values = {
        name: of.ravel() for name, of in estimate_columns("ssl_mem", mean).items()
    }
    rows = rows.assign(layer=layers * len(images), runs=mean.n.ravel(), **values)
    return rows[rows["runs"] > 0].reset_index(drop=True)
