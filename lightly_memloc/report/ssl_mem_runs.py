"""How SSLMem over several runs is shown."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.report.charts import along_depth, sorted_scores
from lightly_memloc.report.report import REPORTS, Drawing, Report, Step
from lightly_memloc.report.style import BLUE, GREY, set_labels
from lightly_memloc.report.tables import (
    LAYER,
    Table,
    interval,
    make_table,
    number,
    p_of,
    signed,
    text,
)
from lightly_memloc.results import SSLMemRunsResult


@REPORTS.register(SSLMemRunsResult.kind)
class SSLMemRunsReport(Report[SSLMemRunsResult]):
    """Shows SSLMem over several runs."""

    rank = 20
    made_by = (Step("What is the same in several trainings?", "ssl-mem", "runs"),)

    @property
    def title(self) -> str:
        """What a page calls the result."""
        return "Several runs"

    def tables(self) -> list[Table]:
        """Return the tables of layers and of the most memorised images, over runs."""
        score = number("ssl_mem", signed, "SSLMem")
        over_runs = interval("ssl_mem", header="95% over runs")
        null = number("shuffled", signed)
        return [
            make_table(
                f"SSLMem over {len(self.result.settings['runs'])} runs, without their "
                "offsets",
                self.result.to_pandas(),
                [*LAYER, score, over_runs, p_of("ssl_mem"), null, p_of("shuffled")],
                bar="ssl_mem",
            ),
            make_table(
                "The most memorised images",
                self.result.top_samples(10),
                [text("filename", "file name"), number("runs", str), score, over_runs],
            ),
        ]

    def words(self) -> str:
        """Say what the runs show about the last layer."""
        last = self.result.to_pandas().iloc[-1]
        mean = f"SSLMem of the last layer is {last['ssl_mem']:+.3f}, averaged over"
        if pd.isna(last["ssl_mem_p"]):
            return (
                f"{mean} two runs. Two runs give no interval, so nothing can be "
                "concluded about other trainings. Train at least one more (--runs 3)."
            )
        verdict = (
            "other trainings of this kind memorise, too"
            if last["ssl_mem_low"] > 0
            else "this does not show that other trainings of this kind memorise"
        )
        return (
            f"{mean} {last['runs']} runs (95% interval over runs "
            f"{last['ssl_mem_low']:+.3f} to {last['ssl_mem_high']:+.3f}): {verdict}. "
            f"With shuffled roles it is {last['shuffled']:+.3f} "
            f"({last['shuffled_low']:+.3f} to {last['shuffled_high']:+.3f})."
        )

    def measured(self) -> str:
        """Say what was averaged."""
        return "SSLMem of each image, averaged over the runs."

    def drawings(self) -> Mapping[str, Drawing]:
        """Return ``ssl_mem`` along depth, and ``images``, sorted; intervals over runs."""
        return {"ssl_mem": self._draw_layers, "images": self._draw_images}

    def _draw_layers(self, axes: Axes) -> None:
        layers = self.result.to_pandas()
        runs = int(layers["runs"].iloc[0])
        intervals = ", 95% intervals over runs" if runs > 2 else ""
        set_labels(axes, f"Mean of {runs} runs{intervals}", "memorisation")
        series = [
            ("layer_mem", "published", GREY, "o", "--"),
            ("shuffled", "with shuffled roles", GREY, "x", ":"),
            ("ssl_mem", "without the runs' offsets", BLUE, "D", "-"),
        ]
        along_depth(axes, layers, series)

    def _draw_images(self, axes: Axes) -> None:
        sorted_scores(
            axes, self.result.top_samples(len(self.result.samples_to_pandas()))
        )
