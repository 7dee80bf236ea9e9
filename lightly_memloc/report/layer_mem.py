"""How LayerMem is shown."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.report.blind import differing
from lightly_memloc.report.charts import (
    along_depth,
    hover_images,
    line_with_band,
    simultaneous_bars,
)
from lightly_memloc.report.report import (
    LEVEL,
    REPORTS,
    Drawing,
    Report,
    Step,
    distinct,
    found_above,
    largest,
)
from lightly_memloc.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    layer_ticks,
    legend,
    set_labels,
    short_names,
    zero_line,
)
from lightly_memloc.report.tables import (
    LAYER,
    Field,
    Table,
    adjusted_p_of,
    counts,
    equal_to,
    make_table,
    number,
    signed,
    text,
)
from lightly_memloc.results import LayerMemResult

_HEADERS = {
    "layer_mem": "LayerMem",
    "calibrated": "calibrated",
    "symmetric": "symmetric",
    "adjusted_gap": "adj. gap",
    "alignment_gap": "align. gap",
}
_LABELS = {
    "symmetric": "symmetric LayerMem",
    "calibrated": "calibrated LayerMem",
    "adjusted_gap": "the adjusted gap",
    "alignment_gap": "the alignment gap",
}
_MATCHED = (
    ", or measure again with matched=True (--matched): it compares only images that are "
    "alike"
)
_GAPS = ("adjusted_gap", "alignment_gap")


@REPORTS.register(LayerMemResult.kind)
class LayerMemReport(Report[LayerMemResult]):
    """Shows LayerMem."""

    rank = 10
    made_by = (
        Step("Which layers memorise, and which images?", "layer-mem"),
        Step(
            "Does the encoder align members better than other images?",
            "layer-mem",
            "encoder",
        ),
    )

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Layers"

    def tables(self) -> list[Table]:
        """Return the tables of layers and, if scored, of the images of highest SSLMem."""
        layers, top = self.result.to_pandas(), self.result.top_samples(10)
        # More estimates do not fit: gaps are for those without a reference encoder.
        shown = [name for name in _HEADERS if self.result.has(name)][:3]
        fields: list[Field] = [*LAYER]
        for name in shown:
            fields.append(number(name, signed, _HEADERS[name]))
            if name != "layer_mem":
                fields.append(adjusted_p_of(name, layers))
        title = f"LayerMem ({counts(self.result.settings['images'])})"
        tables = [make_table(title, layers, fields, bar=shown[-1] if shown else None)]
        if top["ssl_mem"].notna().any():
            images = [
                text("filename", "file name"),
                number("ssl_mem", signed, "SSLMem"),
            ]
            tables.append(make_table("Images with the highest SSLMem", top, images))
        return tables

    def words(self) -> str:
        """Say where memorisation was found, and how the control comes out.

        The first sentence is about the best estimate available (symmetric, else
        calibrated, else the adjusted or the alignment gap), the second about the offset of the
        published number and about images unseen by both encoders.
        """
        name = self.result.estimate
        if name in _GAPS and self.result.differs_in_kind:
            advice = "" if self.result.settings.get("matched") else _MATCHED
            return differing(self.result.settings["blind"], advice)
        if name is None:
            return (
                "Without external or independent images, nothing can be concluded: the "
                "published LayerMem also contains the offset between the two encoders."
            )
        return f"{self._where(name)} {self._check(name)}"

    def measured(self) -> str:
        """Say what was compared with what."""
        against = (
            "than the reference encoder does"
            if self.result.settings["reference"]
            else "than images that it never saw"
        )
        return (
            "LayerMem: how much better the encoder aligns views of its candidates "
            f"{against}, in each of {self.tested_layers} layers."
        )

    def limits(self) -> list[str]:
        """Say what the published number contains; and the notes on the gap."""
        said = []
        if self.result.to_pandas()["layer_mem"].notna().any():
            said.append(
                "The published LayerMem contains the offset between two encoders that "
                "were trained separately, and its p-value tests this offset, too. Rely "
                "on the calibrated and the symmetric estimate."
            )
            said.append(
                "A single pair hardly tells which images were memorised: the ranking of "
                "images by SSLMem is mostly that of the pair. The list of curate says "
                "how many of its images are expected by chance; several runs tell more."
            )
        if self.result.estimate in _GAPS:
            said += super().limits()
        return said

    @property
    def tested_layers(self) -> int:
        """How many layers are tested."""
        return len(distinct(self.result.to_pandas()))

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``layer_mem``: the estimates along depth.

        With a reference encoder also ``ssl_mem``, the images sorted, and for a vision
        transformer ``sublayers``, attention against MLP.
        """
        layers = self.result.to_pandas()
        drawings: dict[str, Drawing] = {"layer_mem": partial(draw_estimates, layers)}
        if layers["layer_mem"].isna().all():
            return drawings
        samples, last = self.result.samples_to_pandas(), str(layers["layer"].iloc[-1])
        drawings["ssl_mem"] = partial(draw_sorted, samples, last)
        if {"attention", "mlp"} <= set(layers["kind"]):
            is_free_of_offset = self.result.estimate in ("symmetric", "calibrated")
            estimate = str(self.result.estimate) if is_free_of_offset else "layer_mem"
            drawings["sublayers"] = partial(draw_sublayers, layers, estimate)
        return drawings

    def _where(self, name: str) -> str:
        layers, called = self.result.to_pandas(), _LABELS[name]
        found, n_layers = found_above(layers, name), len(distinct(layers))
        tested = f"adjusted p < {LEVEL}"
        if found.empty:
            return (
                f"No layer shows memorisation: {called} is not above zero ({tested}) in "
                f"any of {n_layers} layers."
            )
        first, top = found.iloc[0]["layer"], largest(found, name)
        start = f", the first of them {first}" if len(found) > 1 else ""
        return (
            f"The encoder memorised its candidates: {called} is above zero ({tested}) in "
            f"{len(found)} of {n_layers} layers{start}. The largest estimate is that of "
            f"{top['layer']} ({top[name]:+.3f})."
        )

    def _blind(self) -> list[str]:
        blind = self.result.settings.get("blind")
        if not blind:
            return []
        before = self.result.settings.get("blind_before")
        matched = f"; {before['auc']:.2f} before they were matched" if before else ""
        return [
            "a classifier that never saw the encoder does not tell them apart (AUC "
            f"{blind['auc']:.2f}, p {equal_to(blind['auc_p'])}{matched})"
        ]

    def _check(self, name: str) -> str:
        control = name if name in _GAPS else "symmetric"
        p = self.result.control_to_pandas()[f"{control}_p"].iloc[-1]
        verdict = "no difference" if p >= LEVEL else "a difference"
        halves = (
            "as a control, the same estimate between two halves of the external images "
            f"shows {verdict} (p = {p:.2f})"
        )
        if name in _GAPS:
            said = [*self._blind(), *([] if pd.isna(p) else [halves])]
            return (
                "; ".join(
                    [
                        "This is valid only if members and held-out images come from one "
                        "source, as in a random split",
                        *said,
                    ]
                )
                + "."
            )
        if pd.isna(p):
            return (
                "There are no external images, or too few, to check the offset between "
                "the encoders."
            )
        last = self.result.to_pandas().iloc[-1]
        return (
            f"The published LayerMem of the last layer, {last['layer_mem']:+.3f}, "
            f"contains an offset of {last['external']:+.3f}, measured on images unseen "
            f"by both encoders; {halves}."
        )


def draw_estimates(layers: pd.DataFrame, axes: Axes) -> None:
    """Draw LayerMem along depth: published, calibrated and symmetric.

    Args:
        layers: One row per layer. Without a reference encoder the gaps are drawn.
        axes: Where to draw.
    """
    set_labels(axes, "Memorisation along depth, 95% intervals", "memorisation")
    series = [
        ("layer_mem", "published", GREY, "o", "--"),
        ("external", "published, on external images", GREY, "x", ":"),
        ("calibrated", "calibrated", ORANGE, "s", "-"),
        ("symmetric", "symmetric", BLUE, "D", "-"),
    ]
    if layers["layer_mem"].isna().all():
        series = [
            ("alignment_gap", "alignment gap", GREY, "o", "--"),
            ("adjusted_gap", "adjusted gap", GREEN, "D", "-"),
        ]
        simultaneous_bars(axes, layers, "adjusted_gap", GREEN)
    known = layers.columns[layers.notna().any()]
    along_depth(axes, layers, [of for of in series if of[0] in known])


def draw_sublayers(layers: pd.DataFrame, estimate: str, axes: Axes) -> None:
    """Draw what attention and what the MLP of each block adds to memorisation.

    Args:
        layers: One row per layer of a vision transformer.
        estimate: The estimate whose steps are drawn, from ``<estimate>_delta``.
        axes: Where to draw.
    """
    is_published = estimate == "layer_mem"
    name = "delta" if is_published else f"{estimate}_delta"
    of_what = "published" if is_published else estimate
    set_labels(
        axes, "What attention and MLP add, by block", f"step of {of_what} LayerMem"
    )
    for kind, called, color, marker in (
        ("attention", "attention", ORANGE, "s"),
        ("mlp", "MLP", BLUE, "D"),
    ):
        steps = layers[layers["kind"] == kind].reset_index(drop=True)
        line_with_band(axes, steps, name, called, color, marker)
    zero_line(axes)
    blocks = layers.loc[layers["kind"] == "mlp", "layer"].str.replace(".mlp", "")
    layer_ticks(axes, blocks.tolist())
    legend(axes)


def draw_sorted(samples: pd.DataFrame, layer: str, axes: Axes) -> None:
    """Draw SSLMem of the images of each role, sorted.

    Args:
        samples: One row per image: ``filename``, ``role``, and SSLMem in a column of
            the layer's name.
        layer: The layer.
        axes: Where to draw.
    """
    set_labels(
        axes,
        "SSLMem of images, sorted",
        f"SSLMem in {short_names([layer])[0]}",
        "images, in per cent of their role",
    )
    for role, color, line in (
        ("candidate", BLUE, "-"),
        ("independent", ORANGE, "--"),
        ("external", GREY, ":"),
    ):
        images = samples[samples["role"] == role].rename(columns={layer: "score"})
        if len(images):
            images = images.sort_values("score", ascending=False, kind="stable")
            place = 100 * (np.arange(len(images)) + 0.5) / len(images)
            axes.plot(
                place, images["score"], color=color, linestyle=line, lw=2, label=role
            )
            hover_images(axes, place, images, f"{role} ")
    zero_line(axes)
    axes.set_xlim(0, 100)
    legend(axes)
