"""How SSLMem over several runs is shown."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from lightly_memloc.functional import n_detected
from lightly_memloc.report.charts import along_depth, sorted_scores
from lightly_memloc.report.curation import FDR
from lightly_memloc.report.report import REPORTS, Drawing, Report, Step
from lightly_memloc.report.style import BLUE, GREY, set_labels
from lightly_memloc.report.tables import (
    LAYER,
    Field,
    Table,
    adjusted_p_of,
    formatted,
    interval,
    make_table,
    number,
    p_of,
    p_value,
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
        layers, top = self.result.to_pandas(), self.result.top_samples(10)
        fields = [text("filename", "file name"), number("runs", str), score, over_runs]
        tables = [
            make_table(
                f"SSLMem over {len(self.result.settings['runs'])} runs, without their "
                "offsets",
                layers,
                [
                    *LAYER,
                    score,
                    over_runs,
                    adjusted_p_of("ssl_mem", layers),
                    null,
                    adjusted_p_of("shuffled", layers),
                ],
                bar="ssl_mem",
            )
        ]
        if "reliability" in layers:
            tables.append(self._of_images(layers))
            fields += [
                number("ssl_mem_shrunk", signed, "shrunk"),
                p_of("ssl_mem"),
                Field("q", ("ssl_mem_q",), p_value),
            ]
        return [*tables, make_table("Images with the highest SSLMem", top, fields)]

    def _of_images(self, layers: pd.DataFrame) -> Table:
        """What is known of single images in each layer."""
        q = self.result.samples_to_pandas().groupby("layer")["ssl_mem_q"]
        memorised = {layer: n_detected(of, FDR) for layer, of in q}
        share = self.result.settings["top_share"]
        return make_table(
            f"Single images: memorised ones at a false discovery rate of {FDR:.0%}",
            layers.assign(memorised=layers["layer"].map(memorised)),
            [
                text("layer"),
                number("memorised", str),
                number("run_correlation", formatted(".2f"), "r of runs"),
                number("reliability", formatted(".2f")),
                number("top", signed, f"top {share:.0%}"),
                interval("top", header="95% over runs"),
            ],
        )

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
        said = (
            f"{mean} {last['runs']} runs (95% interval over runs "
            f"{last['ssl_mem_low']:+.3f} to {last['ssl_mem_high']:+.3f}): {verdict}. "
            f"With shuffled roles it is {last['shuffled']:+.3f} "
            f"({last['shuffled_low']:+.3f} to {last['shuffled_high']:+.3f})."
        )
        return f"{said} {self._single(last)}" if "reliability" in last else said

    def _single(self, last: "pd.Series[Any]") -> str:
        """Say what the runs show about single images in the last layer."""
        samples = self.result.samples_to_pandas()
        q = samples[samples["layer"] == last["layer"]]["ssl_mem_q"].dropna()
        detected = n_detected(q, FDR)
        said = (
            f"{detected or 'None'} of {len(q)} images can be called memorised at a false "
            f"discovery rate of {FDR:.0%}."
        )
        if not pd.isna(last["reliability"]):
            said += (
                f" The scores of single images have a reliability of "
                f"{last['reliability']:.2f} over these runs (correlation of two runs: "
                f"{last['run_correlation']:.2f})."
            )
        if detected:
            said += (
                f" The {self.result.settings['top_share']:.0%} of the images that score "
                f"highest in the other runs have SSLMem {last['top']:+.3f} in a run "
                f"(95% interval {last['top_low']:+.3f} to {last['top_high']:+.3f})."
            )
        return said

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
