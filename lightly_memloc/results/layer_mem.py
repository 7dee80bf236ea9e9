"""The result of measuring LayerMem."""

from typing import ClassVar

import pandas as pd

from lightly_memloc.results.result import Result, estimated


class LayerMemResult(Result):
    """LayerMem of each layer and SSLMem of each image.

    ``to_pandas()`` has one row per layer, in forward order. Columns: ``layer``,
    ``kind``, ``layer_mem`` (as published), ``delta``, ``top_k`` and ``least_k`` (mean
    SSLMem of the most and least memorised candidates), ``calibrated``, ``symmetric``,
    ``alignment_gap`` and ``adjusted_gap``, and ``external`` and ``independent`` (the
    published mean over those images); ``calibrated_delta`` and ``symmetric_delta``, the steps from the
    layer before. Each estimate has its interval and p-value in ``_low``, ``_high`` and
    ``_p``; a p-value adjusted for the number of layers in ``_p_adjusted``, and an
    interval that covers in all layers at once in ``_simultaneous_low`` and
    ``_simultaneous_high``. NaN where the split lacks the set or there is no reference encoder.
    """

    kind = "layer-mem"
    first = "layers"
    required_settings = ("images", "normalization", "reference", "top_k")
    required: ClassVar = {
        "layers": (
            *("layer", "kind", "top_k", "least_k", "external", "independent"),
            *estimated("layer_mem", "delta", "calibrated", "symmetric"),
            *estimated("alignment_gap"),
        ),
        "samples": ("index", "filename", "role"),
        "distances": ("index", "filename", "role"),
        "control": (
            *("layer", "kind"),
            *estimated("layer_mem", "symmetric", "alignment_gap"),
        ),
    }

    @property
    def estimate(self) -> str | None:
        """The best estimate without the offset, or None if there is none.

        It is ``"symmetric"``, else ``"calibrated"``, else ``"adjusted_gap"``, else
        ``"alignment_gap"``.
        """
        names = ("symmetric", "calibrated", "adjusted_gap", "alignment_gap")
        return next((name for name in names if self.has(name)), None)

    def lacks(self) -> str | None:
        """Say what a saved result lacks: each layer has a column in tables of images."""
        found = super().lacks()
        if found is not None:
            return found
        layers = self.tables["layers"]["layer"]
        for name, start in (("samples", ""), ("distances", "f:")):
            types = self.tables.types(name)
            for column in (f"{start}{layer}" for layer in layers):
                if types.get(column) != "number":
                    return f"numbers in the column {column!r} of the table {name!r}"
        return None

    def samples_to_pandas(self) -> pd.DataFrame:
        """Return one row per image: index, filename, role, and SSLMem in each layer."""
        return self.to_pandas("samples")

    def distances_to_pandas(self) -> pd.DataFrame:
        """Return one row per image: index, filename, role, and alignment distances.

        Columns ``f:<layer>`` are the distances under f, ``g:<layer>`` those under g,
        and others those of encoders that are covariates of the adjusted gap.
        """
        return self.to_pandas("distances")

    def control_to_pandas(self) -> pd.DataFrame:
        """Return the same estimates of images that neither encoder was trained on.

        One row per layer: ``layer_mem`` of the external images (tested against zero:
        what the published metric 'finds' there is offset), and ``symmetric``,
        ``alignment_gap`` and ``adjusted_gap`` between two random halves of them. NaN
        without external images.
        """
        return self.to_pandas("control")

    def scalars(self) -> dict[str, float]:
        """Return one entry per layer of each available estimate.

        They are ``layer_mem/<layer>``, ``calibrated/<layer>``, ``symmetric/<layer>``,
        ``alignment_gap/<layer>`` and ``adjusted_gap/<layer>``.
        """
        metrics = (
            "layer_mem",
            "calibrated",
            "symmetric",
            "alignment_gap",
            "adjusted_gap",
        )
        return {
            name: value
            for metric in metrics
            if self.has(metric)
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

    def has(self, estimate: str) -> bool:
        """Whether an estimate is known; results before 0.2 lack the adjusted gap.

        Args:
            estimate: A column of the table of layers.
        """
        layers = self.tables["layers"]
        return estimate in layers and bool(layers[estimate].notna().any())
