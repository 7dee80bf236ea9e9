"""The result of measuring SSLMem over several runs."""

from typing import ClassVar

import pandas as pd

from lightly_memloc.results.result import Result, estimated


class SSLMemRunsResult(Result):
    """SSLMem of each image and layer over several runs.

    ``to_pandas()`` has one row per layer, in forward order. Columns: ``layer``,
    ``kind``, ``runs``; ``ssl_mem``, the mean score over images and runs, without the
    runs' offsets; ``top``, the mean score of the tenth of the images that score highest
    in the other runs; ``shuffled``, the mean score with shuffled roles: the null;
    ``layer_mem``, the published mean; ``offset``, the SSLMem that a run shows whatever
    was memorised. Each has standard error, interval and p-value *over runs* in
    ``_error``, ``_low``, ``_high`` and ``_p``, and in ``_p_adjusted`` its p-value
    adjusted for the number of layers (Holm); intervals and p-values are NaN with two
    runs, and those of ``top`` allow for runs that choose for each other.
    ``reliability`` is that of the images' means over the runs (split-half, NaN with
    fewer than four runs), ``run_correlation`` the correlation of the images' scores
    between two runs.

    ``_p_adjusted``, ``top``, ``reliability``, ``run_correlation`` and the columns ``ssl_mem_q``,
    ``ssl_mem_shrunk`` and ``by_chance`` of the images are missing in results that were
    saved by version 0.1.0.
    """

    kind = "ssl-mem"
    first = "layers"
    required_settings = ("runs", "left_out", "top_share")
    required: ClassVar = {
        "layers": (
            *("layer", "kind", "runs"),
            *estimated("ssl_mem", "shuffled", "layer_mem", "offset"),
        ),
        "runs": ("run", "layer", "ssl_mem", "shuffled", "layer_mem", "offset"),
        "samples": ("index", "filename", "layer", "runs", *estimated("ssl_mem")),
    }

    def runs_to_pandas(self) -> pd.DataFrame:
        """Return one row per run and layer.

        Columns: ``run``, ``layer``, ``ssl_mem``, ``top``, ``shuffled``, ``layer_mem``,
        ``offset``.
        """
        return self.to_pandas("runs")

    def samples_to_pandas(self) -> pd.DataFrame:
        """Return one row per image and layer.

        Columns: ``index``, ``filename``, ``layer``; ``runs``, in which one of the
        encoders was trained on the image and the other was not; ``ssl_mem``, its mean
        score, with moderated standard error and interval over those runs;
        ``ssl_mem_p``, one-sided, from exchanged roles (in results of version 0.1.0,
        two-sided from Student's t); ``ssl_mem_q``, the false discovery rate of the list
        that ends with this image; ``ssl_mem_shrunk``, the score shrunk towards the mean
        of all images by the layer's reliability, which is how high the image is expected
        to score in other runs; ``by_chance``, how many images would score as high with
        exchanged roles.
        """
        return self.to_pandas("samples")

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
