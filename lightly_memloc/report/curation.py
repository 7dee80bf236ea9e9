"""How curation is shown: the most memorised images, and training without them."""

from collections.abc import Mapping
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.functional import n_detected
from lightly_memloc.report.charts import accuracies, along_depth, sorted_scores
from lightly_memloc.report.report import (
    LEVEL,
    REPORTS,
    Drawing,
    Report,
    Step,
    adjusted_p,
    unlabelled,
)
from lightly_memloc.report.style import BLUE, GREY, ORANGE, set_labels
from lightly_memloc.report.tables import (
    ACCURACY,
    Field,
    Table,
    interval,
    make_table,
    number,
    p_of,
    p_value,
    signed,
    text,
)
from lightly_memloc.results import CurationResult
from lightly_memloc.results.result import estimated

# The false discovery rate at which a list of given length is judged.
FDR = 0.1
# Exchanging the roles of fewer runs leaves all images in place too often.
LIST_RUNS = 4

_SELECTED = "Their scores are high by selection: expect lower ones in another run."


@REPORTS.register(CurationResult.kind)
class CurationReport(Report[CurationResult]):
    """Shows the most memorised images, and what training without them did."""

    rank = 100
    made_by = (
        Step("Which images are memorised most?", "curate"),
        Step("Which images are memorised over runs?", "curate", "runs"),
    )

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return (
            "Trained without images" if self.result.is_retrained else "Curated images"
        )

    @property
    def place(self) -> tuple[int, ...]:
        """Where a page shows it: the list of images before training without them."""
        return (self.rank, int(self.result.is_retrained))

    def tables(self) -> list[Table]:
        """Return the table of images, and those of the encoders trained without them."""
        images = [] if self.result.to_pandas().empty else [self._images()]
        return images + (self._retrained() if self.result.is_retrained else [])

    def _images(self) -> Table:
        settings, images = self.result.settings, self.result.to_pandas().head(10)
        title = (
            f"{self._called} {settings.get('layer', 'the last layer')} ({len(images)} of "
            f"{settings['number']} listed, of {settings['scored']} scored)"
        )
        fields = [
            text("filename", "file name"),
            text("role"),
            number("ssl_mem", signed, "SSLMem"),
        ]
        if "ssl_mem_shrunk" in images:
            fields.append(number("ssl_mem_shrunk", signed, "shrunk"))
        fields.append(Field("p", ("p",), p_value))
        if "q" in images:
            fields.append(Field("q", ("q",), p_value))
        return make_table(title, images, fields)

    @property
    def _called(self) -> str:
        """What a table calls the images: only those of a detected list are memorised."""
        settings = self.result.settings
        if "fdr" in settings and self._n_detected(settings["fdr"]):
            return "Memorised images by"
        is_of_earlier_version = "by_chance" not in settings
        return (
            "The most memorised images by"
            if is_of_earlier_version
            else "Images with the highest SSLMem in"
        )

    def _n_detected(self, fdr: float) -> int:
        """How many of the listed images may be called memorised."""
        return n_detected(self.result.to_pandas()["q"], fdr)

    def _retrained(self) -> list[Table]:
        images = self.result.settings["images"]
        return [
            make_table(
                f"Accuracy on {images['external']} images",
                self.result.accuracy_to_pandas(),
                [text("encoder"), *ACCURACY],
            ),
            make_table(
                f"Their calibrated LayerMem over {images['compared']} candidates that "
                "all learned",
                self.result.layers_to_pandas(),
                [
                    text("layer"),
                    number("original", signed, "before"),
                    number("without_memorized", signed, "without"),
                    number("without_random", signed, "random"),
                    number("difference", signed),
                    interval("difference"),
                    p_of("difference"),
                ],
            ),
        ]

    def words(self) -> str:
        """Say how many images are listed by chance, and what training without them did.

        A list is never called memorised unless its false discoveries are controlled.
        """
        said = [self._listed()]
        if self.result.is_retrained:
            said.append(self._trained_without())
        return " ".join(said) + unlabelled(self.result)

    def _listed(self) -> str:
        images, settings = self.result.to_pandas(), self.result.settings
        scores = images["ssl_mem"]
        if scores.empty:
            return self._nothing_listed()
        are = "image is" if len(scores) == 1 else "images are"
        listed = (
            f"{len(scores)} {are} listed, with SSLMem from {scores.max():+.3f} down "
        )
        listed += f"to {scores.min():+.3f}."
        by_chance = settings.get("by_chance")
        if "fdr" in settings:
            rate = settings["fdr"]
            doubt = (
                ""
                if self._n_detected(rate)
                else f"No image has q up to 0.05: where nothing is memorised, up to "
                f"{rate:.0%} of measurements list images like these. "
            )
            return (
                f"{listed} At most {rate:.0%} of them ({by_chance:.1f}) are expected to "
                f"be listed by chance. {doubt}{_SELECTED}"
            )
        if by_chance is None:
            return listed
        return (
            f"{listed} {by_chance:.1f} of them are expected to score as high by chance. "
            f"{self._n_detected(FDR) or 'None'} of them can be called memorised at a "
            f"false discovery rate of {FDR:.0%}. {_SELECTED}"
        )

    def _nothing_listed(self) -> str:
        settings = self.result.settings
        if "fdr" not in settings:
            return "The list is empty."
        said = (
            f"The list is empty: at a false discovery rate of {settings['fdr']:.0%}, none "
            f"of {settings['scored']} images scores higher than chance explains."
        )
        if settings.get("n_runs", LIST_RUNS) < LIST_RUNS:
            return (
                f"{said} {settings['n_runs']} runs are too few to detect single images: "
                "train at least six."
            )
        if "n_external" in settings:
            # Conformal p-values are at least 1 / (n_external + 1).
            least = settings["scored"] / (
                settings["fdr"] * (settings["n_external"] + 1)
            )
            said += (
                f" With {settings['n_external']} external images, a list needs at least "
                f"{max(1, ceil(least - 1e-9))} images that score above all of them."
            )
        return said

    def _trained_without(self) -> str:
        layers = self.result.layers_to_pandas()
        found = layers[adjusted_p(layers, "difference") < LEVEL]
        accuracy = self.result.accuracy_to_pandas().set_index("encoder")["accuracy"]
        said = (
            "An encoder trained without them differs from one trained without "
            f"as many random images in {len(found) or 'none'} of {len(layers)} layers "
            f"(calibrated LayerMem, adjusted p < {LEVEL}); their accuracies are "
            f"{accuracy.get('without memorized', np.nan):.1%} and "
            f"{accuracy.get('without random', np.nan):.1%}."
        )
        last = layers.iloc[-1]
        if not {*estimated("removed_effect")} <= {*layers} or pd.isna(
            last["removed_effect_p"]
        ):
            return said
        verdict = (
            "training on the listed images raises their own LayerMem"
            if last["removed_effect_p"] < LEVEL and last["removed_effect"] > 0
            else "this does not show that the listed images are memorised"
        )
        return (
            f"{said} In the last layer, LayerMem of the listed images is "
            f"{last['removed_effect']:+.3f} higher in the new encoder that was trained on "
            f"them (95% interval {last['removed_effect_low']:+.3f} to "
            f"{last['removed_effect_high']:+.3f}): {verdict}."
        )

    def next_steps(self) -> list[Step]:
        """Suggest to train without the images that are listed."""
        if self.result.is_retrained or len(self.result.to_pandas()) < 2:
            return []
        settings = self.result.settings
        chosen = (
            f"--fdr {settings['fdr']:g}"
            if "fdr" in settings
            else f"--amount {settings['number']}"
        )
        question = "Does training without the most memorised images help?"
        return [Step(question, f"curate {chosen} --retrain")]

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``images``, sorted; after training ``layer_mem`` and ``accuracy``."""
        drawings: dict[str, Drawing] = {}
        if len(self.result.to_pandas()):
            drawings["images"] = self._draw_images
        if self.result.is_retrained:
            drawings["layer_mem"] = self._draw_layers
            drawings["accuracy"] = self._draw_accuracy
        return drawings

    def _draw_images(self, axes: Axes) -> None:
        sorted_scores(axes, self.result.to_pandas())

    def _draw_layers(self, axes: Axes) -> None:
        set_labels(axes, "After training without images", "calibrated LayerMem")
        series = [
            ("original", "before", GREY, "o", "--"),
            ("without_random", "without random images", ORANGE, "s", "-"),
            ("without_memorized", "without the most memorised", BLUE, "D", "-"),
        ]
        along_depth(axes, self.result.layers_to_pandas(), series)

    def _draw_accuracy(self, axes: Axes) -> None:
        accuracies(axes, self.result.accuracy_to_pandas())
