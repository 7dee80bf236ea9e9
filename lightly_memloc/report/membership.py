"""How membership inference is shown."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.report.blind import differing
from lightly_memloc.report.charts import line_with_band
from lightly_memloc.report.report import (
    LEVEL,
    REPORTS,
    Drawing,
    Report,
    Step,
    adjusted_p,
    found_above,
    largest,
)
from lightly_memloc.report.style import (
    BLUE,
    GREEN,
    ORANGE,
    layer_ticks,
    legend,
    set_labels,
)
from lightly_memloc.report.tables import (
    Table,
    adjusted_p_of,
    counts,
    equal_to,
    hundredths,
    interval,
    make_table,
    number,
    p_value,
    signed,
    tenths_of_percent,
    text,
)
from lightly_memloc.results import MembershipResult

_SCORES = {
    "alignment": "alignment of f alone",
    "adjusted_alignment": "adjusted alignment of f",
    "ssl_mem": "SSLMem",
}


@REPORTS.register(MembershipResult.kind)
class MembershipReport(Report[MembershipResult]):
    """Shows how well each layer separates members from non-members."""

    rank = 50
    made_by = (Step("Which layers reveal membership?", "membership"),)

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Membership inference"

    def tables(self) -> list[Table]:
        """Return a table of layers for each score; a bar begins at chance."""
        layers = self.result.to_pandas()
        layers["over_chance"] = 2 * layers["auc"] - 1
        fields = [
            text("layer"),
            number("auc", hundredths, "AUC"),
            interval("auc", hundredths),
            adjusted_p_of("auc", layers),
            number("tpr", tenths_of_percent, "TPR at 1% FPR"),
        ]
        # Only results of version 0.1.0 have no p-value; both do not fit 80 columns.
        has_p = "tpr_p" in layers
        fields.append(
            adjusted_p_of("tpr", layers)
            if has_p
            else interval("tpr", tenths_of_percent)
        )
        images = counts(self.result.settings["images"])
        of_layers = [
            make_table(
                f"Membership by {_SCORES.get(str(score), score)} ({images}; "
                "by chance: AUC 0.50, TPR 1%)",
                of,
                fields,
                bar="over_chance",
                full=1.0,
            )
            for score, of in layers.groupby("score", sort=False)
        ]
        if "samples" not in self.result.tables:
            return of_layers
        top = make_table(
            "Members with the highest adjusted alignment",
            self.result.to_pandas("samples").head(10),
            [
                text("filename", "file name"),
                number("score", signed),
                number("p", p_value),
                number("q", p_value),
            ],
        )
        return [*of_layers, top]

    def words(self) -> str:
        """Say which layers reveal membership, with and without a reference."""
        if self.result.differs_in_kind:
            return differing(self.result.settings["blind"])
        layers = self.result.to_pandas()
        said = []
        for score, by in (
            ("alignment", "the encoder's own alignment"),
            ("adjusted_alignment", "alignment adjusted for covariates"),
            ("ssl_mem", "SSLMem, which needs the reference encoder"),
        ):
            of = layers[layers["score"] == score]
            if of.empty:
                continue
            found = found_above(of, "auc", chance=0.5)
            if found.empty:
                said.append(
                    f"By {by}, no layer separates members from non-members "
                    f"(adjusted p < {LEVEL})."
                )
                continue
            best = largest(found, "auc")
            verb = "separates" if len(found) == 1 else "separate"
            said.append(
                f"By {by}, {len(found)} of {len(of)} layers {verb} members from "
                f"non-members (adjusted p < {LEVEL}). AUC is largest in "
                f"{best['layer']}: {best['auc']:.2f} (0.50 by chance)."
            )
            if pd.notna(best["tpr"]):
                p = ""
                if "tpr_p" in best:
                    of_best = adjusted_p(of, "tpr")[of["layer"] == best["layer"]]
                    p = f", adjusted p = {p_value(of_best.iloc[0])}"
                    p = p.replace("= <", "< ")
                said.append(
                    f"At 1% false positives it identifies {best['tpr']:.1%} of the "
                    f"members (1% by chance{p})."
                )
        return " ".join([*said, *self._of_images()])

    def _of_images(self) -> list[str]:
        if "samples" not in self.result.tables:
            return []
        overall, samples = (
            self.result.settings["overall"],
            self.result.to_pandas("samples"),
        )
        n = int((samples["q"] <= 0.1).sum())
        detected = f"{n} members are" if n != 1 else "1 member is"
        return [
            "Over the last third of the layers, the adjusted alignment separates them "
            f"with an AUC of {overall['auc']:.2f} (p {equal_to(overall['auc_p'])}). "
            f"{detected} detected at a false discovery rate of 10%."
        ]

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``membership``: the AUC along depth."""
        return {"membership": self._draw}

    def _draw(self, axes: Axes) -> None:
        layers = self.result.to_pandas()
        set_labels(
            axes, "Do layers reveal membership? 95% intervals", "AUC of membership"
        )
        for score, called, color, marker in (
            ("alignment", "alignment of the encoder alone", ORANGE, "s"),
            ("adjusted_alignment", "adjusted alignment", GREEN, "o"),
            ("ssl_mem", "SSLMem", BLUE, "D"),
        ):
            of = layers[layers["score"] == score].reset_index(drop=True)
            if len(of):
                line_with_band(axes, of, "auc", called, color, marker, shown=hundredths)
        axes.axhline(0.5, color="black", linewidth=0.8, linestyle="--", label="chance")
        layer_ticks(axes, layers["layer"].unique().tolist())
        legend(axes)
