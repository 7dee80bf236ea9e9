"""How curation is shown: the most memorised images, and training without them."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from lightly_memloc.report.charts import accuracies, along_depth, sorted_scores
from lightly_memloc.report.report import LEVEL, REPORTS, Drawing, Report, Step
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
        settings = self.result.settings
        listed = min(settings["number"], 10)
        images = make_table(
            f"The most memorised images by {settings['layer']} ({listed} of "
            f"{settings['number']} listed, of {settings['scored']} scored)",
            self.result.to_pandas().head(10),
            [
                text("filename", "file name"),
                text("role"),
                number("ssl_mem", signed, "SSLMem"),
                Field("p", ("p",), p_value),
            ],
        )
        return [images, *self._retrained()] if self.result.is_retrained else [images]

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
        """Say what training without the most memorised images did."""
        scores = self.result.to_pandas()["ssl_mem"]
        listed = (
            f"{len(scores)} images are listed, with SSLMem from {scores.max():+.3f} down "
            f"to {scores.min():+.3f}."
        )
        if not self.result.is_retrained:
            return listed
        layers = self.result.layers_to_pandas()
        found = layers[layers["difference_p"] < LEVEL]
        accuracy = self.result.accuracy_to_pandas().set_index("encoder")["accuracy"]
        return (
            f"{listed} An encoder trained without them differs from one trained without "
            f"as many random images in {len(found) or 'none'} of {len(layers)} layers "
            f"(calibrated LayerMem, p < {LEVEL}); their accuracies are "
            f"{accuracy['without memorized']:.1%} and {accuracy['without random']:.1%}."
        )

    def next_steps(self) -> list[Step]:
        """Suggest to train without the images that are listed."""
        if self.result.is_retrained:
            return []
        question = "Does training without the most memorised images help?"
        return [Step(question, "curate --retrain")]

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``images``, sorted; after training ``layer_mem`` and ``accuracy``."""
        drawings: dict[str, Drawing] = {"images": self._draw_images}
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
