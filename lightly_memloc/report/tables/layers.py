"""Tables of layers: LayerMem, SSLMem over runs, membership; and their images."""

from typing import Any

from lightly_memloc.report.tables.build import (
    Field,
    interval,
    make_table,
    number,
    p_of,
    text,
)
from lightly_memloc.report.tables.formats import formatted, signed, tenths_of_percent
from lightly_memloc.report.tables.result_tables import result_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import LayerMemResult, MembershipResult, SSLMemRunsResult

_LAYER = (text("layer"), text("kind"))
_TOP = "The most memorised images"
_ESTIMATES = {
    "layer_mem": "LayerMem",
    "calibrated": "calibrated",
    "symmetric": "symmetric",
    "alignment_gap": "align. gap",
}
_SCORES = {"alignment": "alignment of f alone", "ssl_mem": "SSLMem"}


@result_tables.register
def layer_mem_tables(result: LayerMemResult) -> list[Table]:
    """Make the tables of layers, and of the most memorised images if they are scored."""
    layers, top = result.to_pandas(), result.top_samples(10)
    # Four estimates do not fit: the gap is for those without a reference encoder.
    shown = [name for name in _ESTIMATES if layers[name].notna().any()][:3]
    fields: list[Field] = [*_LAYER]
    for name in shown:
        fields.append(number(name, signed, _ESTIMATES[name]))
        if name != "layer_mem":
            fields.append(p_of(name))
    title = f"LayerMem ({_counts(result.settings['images'])})"
    tables = [make_table(title, layers, fields, bar=shown[-1] if shown else None)]
    if top["ssl_mem"].notna().any():
        images = [text("filename", "file name"), number("ssl_mem", signed, "SSLMem")]
        tables.append(make_table(_TOP, top, images))
    return tables


@result_tables.register
def ssl_mem_runs_tables(result: SSLMemRunsResult) -> list[Table]:
    """Make the tables of layers and of the most memorised images, over runs."""
    score = number("ssl_mem", signed, "SSLMem")
    over_runs = interval("ssl_mem", header="95% over runs")
    null = number("shuffled", signed)
    return [
        make_table(
            f"SSLMem over {len(result.settings['runs'])} runs, without their offsets",
            result.to_pandas(),
            [*_LAYER, score, over_runs, p_of("ssl_mem"), null, p_of("shuffled")],
            bar="ssl_mem",
        ),
        make_table(
            _TOP,
            result.top_samples(10),
            [text("filename", "file name"), number("runs", str), score, over_runs],
        ),
    ]


@result_tables.register
def membership_tables(result: MembershipResult) -> list[Table]:
    """Make a table of layers for each score; a bar begins at chance."""
    layers = result.to_pandas()
    layers["over_chance"] = 2 * layers["auc"] - 1
    fields = [
        text("layer"),
        number("auc", formatted(".2f"), "AUC"),
        interval("auc", formatted(".2f")),
        p_of("auc"),
        number("tpr", tenths_of_percent, "TPR at 1% FPR"),
        interval("tpr", tenths_of_percent),
    ]
    counts = _counts(result.settings["images"])
    return [
        make_table(
            f"Membership by {_SCORES[str(score)]} ({counts})",
            of,
            fields,
            bar="over_chance",
            full=1.0,
        )
        for score, of in layers.groupby("score", sort=False)
    ]


def _counts(images: dict[str, Any]) -> str:
    return ", ".join(f"{count} {role}" for role, count in images.items())
