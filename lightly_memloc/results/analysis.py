"""The result of comparing layers, images and units."""

from typing import Any, ClassVar

from lightly_memloc.results.result import Result, estimated


class AnalysisResult(Result):
    """Consistency of layers, atypical images, and units against images and classes."""

    kind = "analysis"
    optional: ClassVar = {
        "consistency": (
            *("layer", "other", "distance", "overlap", "chance", "overlap_p"),
            *estimated("tau", "external_tau"),
        ),
        "atypical": (
            *("layer", "most", "least", "difference", "difference_low"),
            *("difference_high", "t", "t_p"),
        ),
        "atypical_units": (
            *("layer", "units_most", "units_least", "unit_mem_most", "unit_mem_least"),
            *("t", "t_p"),
        ),
        "units_won": (
            *("layer", "units", "images", "winners", "others"),
            *estimated("tau", "difference"),
        ),
        "unit_class": (
            *("layer", "units", "unit_mem", "class_mem", "above", "above_low"),
            *("above_high", *estimated("tau")),
        ),
        "units": ("layer", "unit", "unit_mem", "class_mem"),
    }

    def to_pandas(self, table: str | None = None) -> Any:
        """Return the tables by name, as far as the results allow, or one of them.

        ``consistency``: one row per pair of layers: how many of the top-k candidates they
        share (``overlap``, by ``chance``, ``overlap_p``; NaN where a layer's SSLMem is
        the same for all), Kendall's ``tau`` of SSLMem over the candidates, and over the
        external images (``external_tau``), which neither encoder was trained on: layers
        agree this far because some images are harder to align than others.

        ``atypical``: one row per layer: mean SSLMem of the ``most`` and the ``least``
        memorised candidates, their ``difference`` with its interval, Welch's ``t`` and
        ``t_p``; the same of the external images, if there are any, in
        ``external_...``.

        The following count live units only, and have a row for each layer with any,
        then one for ``all layers``. ``atypical_units``: how many units the most and the
        least memorised images win (``units_most``, ``units_least``), their mean UnitMem
        and Welch's ``t`` and ``t_p`` of it. ``units_won``: Kendall's ``tau`` of SSLMem
        in the last layer and the number of units that an image wins; how many
        ``images`` win any of the ``units``, the mean SSLMem of those ``winners`` and of
        the ``others``, and their ``difference``. ``unit_class``: mean ``unit_mem`` and
        ``class_mem``, the share of units with UnitMem ``above`` ClassMem with its exact
        interval, and ``tau`` of the two; ``units`` has both for each unit.

        Estimates have their interval and p-value in ``_low``, ``_high``, ``_p``.
        """
        if table is not None:
            return super().to_pandas(table)
        return {
            name: super(AnalysisResult, self).to_pandas(name) for name in self.tables
        }

    def scalars(self) -> dict[str, float]:
        """Return the consistency of neighbouring layers, ``tau/<layer>``, with the next."""
        if "consistency" not in self.tables:
            return {}
        pairs = self.tables["consistency"]
        next_to = pairs[(pairs["distance"] == 1) & pairs["tau"].notna()]
        return {
            f"tau/{layer}": float(tau)
            for layer, tau in zip(next_to["layer"], next_to["tau"], strict=True)
        }
