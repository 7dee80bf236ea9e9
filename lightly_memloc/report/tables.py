"""Results as tables for the terminal, 80 columns wide."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from lightly_memloc.results import (
    AnalysisResult,
    ClassMemResult,
    CurationResult,
    InterventionResult,
    LayerMemResult,
    MembershipResult,
    ProbeResult,
    Result,
    SSLMemRunsResult,
    UnitMemResult,
    UnitTuningResult,
)

_BAR_WIDTH = 6
_SCORES = {"alignment": "alignment of f alone", "ssl_mem": "SSLMem"}


def result_tables(result: Result) -> list[Table]:
    """Make the terminal's tables of a result.

    Args:
        result: A result of any kind.
    """
    if isinstance(result, LayerMemResult):
        return [_layer_mem(result), *_top_samples(result)]
    if isinstance(result, UnitMemResult):
        return [_unit_layers(result), _top_units(result)]
    if isinstance(result, ClassMemResult):
        return [_class_layers(result)]
    if isinstance(result, CurationResult):
        return [_curated(result), *_retrained(result)]
    if isinstance(result, AnalysisResult):
        return _analysis(result)
    if isinstance(result, InterventionResult):
        return [_intervention(result)]
    if isinstance(result, MembershipResult):
        return _membership(result)
    if isinstance(result, ProbeResult):
        return [_probes(result)]
    if isinstance(result, UnitTuningResult):
        return [_unit_tuning(result)]
    if isinstance(result, SSLMemRunsResult):
        return [_ssl_mem_runs(result), _top_samples_of_runs(result)]
    raise TypeError(f"No table for {type(result).__name__}.")


def p_value(p: float) -> str:
    """Format a p-value."""
    if np.isnan(p):
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def _layer_mem(result: LayerMemResult) -> Table:
    rows = result.to_pandas()
    estimates = [
        (header, name)
        for header, name in (
            ("LayerMem", "layer_mem"),
            ("calibrated", "calibrated"),
            ("symmetric", "symmetric"),
            ("align. gap", "alignment_gap"),
        )
        if rows[name].notna().any()
    ]
    # Four estimates do not fit: the gap is for those without a reference encoder.
    estimates = estimates[:3]
    last = estimates[-1][1]
    table = _table(f"LayerMem ({_counts(result.settings['images'])})", "layer", "kind")
    for header, name in estimates:
        table.add_column(header, justify="right", no_wrap=True)
        if name != "layer_mem":
            table.add_column("p", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    largest = rows[last].abs().max()
    for _, row in rows.iterrows():
        cells = [str(row["layer"]), str(row["kind"])]
        for _, name in estimates:
            cells.append(_signed(row[name]))
            if name != "layer_mem":
                cells.append(p_value(row[f"{name}_p"]))
        _add_row(table, *cells, _bar(row[last], largest))
    return table


def _top_samples(result: LayerMemResult) -> list[Table]:
    top = result.top_samples(10)
    if top["ssl_mem"].isna().all():
        return []
    table = _table("The most memorised images", "file name")
    table.add_column("SSLMem", justify="right")
    for _, row in top.iterrows():
        _add_row(table, str(row["filename"]), _signed(row["ssl_mem"]))
    return [table]


def _unit_layers(result: UnitMemResult) -> Table:
    rows = result.layers_to_pandas()
    title = "UnitMem"
    if result.has_holdout:
        title += "; share of units won by members, and gap, against a holdout"
    table = _table(title, "layer", "kind")
    for header in ("units", "dead", "mean"):
        table.add_column(header, justify="right", no_wrap=True)
    if result.has_holdout:
        for header in ("members", "p", "gap", "p"):
            table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for _, row in rows.iterrows():
        cells = [str(row["layer"]), str(row["kind"])]
        cells += [str(row["units"]), str(row["dead"]), f"{row['mean']:.3f}"]
        if result.has_holdout:
            cells += [
                f"{row['member_share']:.0%}",
                p_value(row["member_share_p"]),
                _signed(row["gap"]),
                p_value(row["gap_p"]),
            ]
        _add_row(table, *cells, _bar(row["mean"], 1.0))
    return table


def _top_units(result: UnitMemResult) -> Table:
    units = result.to_pandas()
    top = units[~units["dead"]].sort_values("unit_mem", ascending=False).head(10)
    table = _table("The most memorising units", "layer")
    table.add_column("unit", justify="right")
    table.add_column("UnitMem", justify="right")
    table.add_column("image", overflow="fold")
    for _, row in top.iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["unit"]),
            f"{row['unit_mem']:.3f}",
            str(row["filename"]),
        )
    return table


def _class_layers(result: ClassMemResult) -> Table:
    table = _table(f"ClassMem ({result.settings['classes']} classes)", "layer", "kind")
    for header in ("units", "dead", "mean", "median"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for _, row in result.layers_to_pandas().iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["kind"]),
            str(row["units"]),
            str(row["dead"]),
            f"{row['mean']:.3f}",
            f"{row['median']:.3f}",
            _bar(row["mean"], 1.0),
        )
    return table


def _ssl_mem_runs(result: SSLMemRunsResult) -> Table:
    rows = result.to_pandas()
    title = f"SSLMem over {len(result.settings['runs'])} runs, without their offsets"
    table = _table(title, "layer", "kind")
    for header in ("SSLMem", "95% over runs", "p", "shuffled", "p"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    largest = rows["ssl_mem"].abs().max()
    for _, row in rows.iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["kind"]),
            _signed(row["ssl_mem"]),
            _interval(row, "ssl_mem"),
            p_value(row["ssl_mem_p"]),
            _signed(row["shuffled"]),
            p_value(row["shuffled_p"]),
            _bar(row["ssl_mem"], largest),
        )
    return table


def _top_samples_of_runs(result: SSLMemRunsResult) -> Table:
    table = _table("The most memorised images", "file name")
    for header in ("runs", "SSLMem", "95% over runs"):
        table.add_column(header, justify="right", no_wrap=True)
    for _, row in result.top_samples(10).iterrows():
        _add_row(
            table,
            str(row["filename"]),
            str(row["runs"]),
            _signed(row["ssl_mem"]),
            _interval(row, "ssl_mem"),
        )
    return table


def _intervention(result: InterventionResult) -> Table:
    rows = result.to_pandas()
    runs = result.settings.get("runs")
    trials = (
        f"{len(runs)} runs" if runs else f"{rows['trials'].max()} trials of one run"
    )
    title = f"{result.settings['intervention']}: accuracy over {trials}, in points"
    table = _table(title, "strategy")
    against_random = "over_random" in rows
    headers = ["without", "with", "change", "s.e.", "95% interval", "p"]
    for header in [*headers, "over random", "p"][: 8 if against_random else 6]:
        table.add_column(header, justify="right", no_wrap=" " not in header)
    for _, row in rows.iterrows():
        cells = [
            str(row["strategy"]),
            f"{row['baseline']:.1%}",
            f"{row['accuracy']:.1%}",
            _points(row["change"]),
            _points(row["change_error"]).lstrip("+"),
            _interval(row, "change", _points),
            p_value(row["change_p"]),
        ]
        if against_random:
            cells += [_points(row["over_random"]), p_value(row["over_random_p"])]
        _add_row(table, *cells)
    return table


def _points(share: float) -> str:
    """A difference of accuracies in percentage points."""
    return "-" if pd.isna(share) else f"{100 * share:+.1f}"


def _membership(result: MembershipResult) -> list[Table]:
    tables = []
    for score, of in result.to_pandas().groupby("score", sort=False):
        counts = _counts(result.settings["images"])
        table = _table(f"Membership by {_SCORES[str(score)]} ({counts})", "layer")
        for header in ("AUC", "95% interval", "p", "TPR at 1% FPR", "95% interval"):
            table.add_column(header, justify="right", no_wrap=True)
        for _, row in of.iterrows():
            _add_row(
                table,
                str(row["layer"]),
                f"{row['auc']:.2f}",
                f"{row['auc_low']:.2f} {row['auc_high']:.2f}",
                p_value(row["auc_p"]),
                f"{row['tpr']:.1%}",
                f"{row['tpr_low']:.1%} {row['tpr_high']:.1%}",
            )
        tables.append(table)
    return tables


def _analysis(result: AnalysisResult) -> list[Table]:
    tables = result.to_pandas()
    makers = {
        "consistency": _consistency,
        "atypical": _atypical,
        "atypical_units": _atypical_units,
        "units_won": _units_won,
        "unit_class": _unit_class,
    }
    return [make(tables[name]) for name, make in makers.items() if name in tables]


def _consistency(pairs: pd.DataFrame) -> Table:
    title = "Do layers memorise the same images? By distance between them"
    table = _table(title, "layers apart")
    for header in ("pairs", "overlap", "by chance", "tau", "tau of external images"):
        table.add_column(header, justify="right")
    for distance, of in pairs.groupby("distance"):
        _add_row(
            table,
            str(distance),
            str(len(of)),
            f"{of['overlap'].mean():.0%}",
            f"{of['chance'].mean():.0%}",
            _signed(of["tau"].mean()),
            _signed(of["external_tau"].mean()),
        )
    return table


def _atypical(layers: pd.DataFrame) -> Table:
    table = _table("The most against the least memorised images (SSLMem)", "layer")
    for header in ("most", "least", "difference", "95% interval", "p", "external"):
        table.add_column(header, justify="right", no_wrap=True)
    for _, row in layers.iterrows():
        _add_row(
            table,
            str(row["layer"]),
            _signed(row["most"]),
            _signed(row["least"]),
            _signed(row["difference"]),
            _interval(row, "difference"),
            p_value(row["t_p"]),
            _signed(row.get("external_difference", np.nan)),
        )
    return table


def _atypical_units(layers: pd.DataFrame) -> Table:
    table = _table("Units won by the most and the least memorised images", "layer")
    for header in ("most win", "least win", "UnitMem, most", "UnitMem, least", "p"):
        table.add_column(header, justify="right")
    for _, row in layers.iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["units_most"]),
            str(row["units_least"]),
            _share(row["unit_mem_most"]),
            _share(row["unit_mem_least"]),
            p_value(row["t_p"]),
        )
    return table


def _units_won(layers: pd.DataFrame) -> Table:
    table = _table("SSLMem of images that win units, and of others", "layer")
    for header in ("units", "images", "winners", "others", "p", "tau", "p"):
        table.add_column(header, justify="right", no_wrap=True)
    for _, row in layers.iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["units"]),
            str(row["images"]),
            _signed(row["winners"]),
            _signed(row["others"]),
            p_value(row["difference_p"]),
            _signed(row["tau"]),
            p_value(row["tau_p"]),
        )
    return table


def _unit_class(layers: pd.DataFrame) -> Table:
    title = "Units tied to an image (UnitMem) or to a class (ClassMem)"
    table = _table(title, "layer")
    for header in ("units", "UnitMem", "ClassMem", "above", "95% interval", "tau"):
        table.add_column(header, justify="right", no_wrap=True)
    for _, row in layers.iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["units"]),
            _share(row["unit_mem"]),
            _share(row["class_mem"]),
            f"{row['above']:.0%}",
            f"{row['above_low']:.0%} {row['above_high']:.0%}",
            _signed(row["tau"]),
        )
    return table


def _share(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"


def _curated(result: CurationResult) -> Table:
    images = result.to_pandas()
    number, scored = result.settings["number"], result.settings["scored"]
    title = f"The most memorised images by {result.settings['layer']}"
    listed = f"{min(number, 10)} of {number} listed, of {scored} scored"
    table = _table(f"{title} ({listed})", "file name", "role")
    for header in ("SSLMem", "p"):
        table.add_column(header, justify="right", no_wrap=True)
    for _, row in images.head(10).iterrows():
        _add_row(
            table,
            str(row["filename"]),
            str(row["role"]),
            _signed(row["ssl_mem"]),
            p_value(row["p"]),
        )
    return table


def _retrained(result: CurationResult) -> list[Table]:
    if not result.is_retrained:
        return []
    counts = result.settings["images"]
    accuracy = _table(f"Accuracy on {counts['external']} images", "encoder")
    for header in ("accuracy", "95% interval"):
        accuracy.add_column(header, justify="right", no_wrap=True)
    for _, row in result.accuracy_to_pandas().iterrows():
        _add_row(
            accuracy,
            str(row["encoder"]),
            f"{row['accuracy']:.1%}",
            f"{row['low']:.1%} {row['high']:.1%}",
        )
    layers = _table(
        f"Their calibrated LayerMem over {counts['compared']} candidates that all learned",
        "layer",
    )
    for header in ("before", "without", "random", "difference", "95% interval", "p"):
        layers.add_column(header, justify="right", no_wrap=True)
    for _, row in result.layers_to_pandas().iterrows():
        _add_row(
            layers,
            str(row["layer"]),
            _signed(row["original"]),
            _signed(row["without_memorized"]),
            _signed(row["without_random"]),
            _signed(row["difference"]),
            _interval(row, "difference"),
            p_value(row["difference_p"]),
        )
    return [accuracy, layers]


def _unit_tuning(result: UnitTuningResult) -> Table:
    table = _table("UnitMem of units, each tuned to one image", "layer")
    for header in ("units", "before", "after", "rise", "95% interval", "p", "won"):
        table.add_column(header, justify="right", no_wrap=True)
    for _, row in result.layers_to_pandas().iterrows():
        _add_row(
            table,
            str(row["layer"]),
            str(row["units"]),
            f"{row['before']:.3f}",
            f"{row['after']:.3f}",
            _signed(row["rise"]),
            _interval(row, "rise"),
            p_value(row["rise_p"]),
            str(row["wins"]),
        )
    return table


def _probes(result: ProbeResult) -> Table:
    counts = result.settings
    table = _table(
        f"Accuracy on {counts['test']} images, learned from {counts['train']} "
        f"({counts['classes']} classes)",
        "encoder",
        "probe",
    )
    for header in ("accuracy", "95% interval"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for _, row in result.to_pandas().iterrows():
        _add_row(
            table,
            str(row["encoder"]),
            str(row["probe"]),
            f"{row['accuracy']:.1%}",
            f"{row['low']:.1%} {row['high']:.1%}",
            _bar(row["accuracy"], 1.0),
        )
    return table


def _interval(
    row: "pd.Series[Any]", name: str, shown: Callable[[float], str] | None = None
) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    shown = shown or _signed
    return "-" if pd.isna(low) else f"{shown(low)} {shown(high)}"


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        min_width=min(len(title), 80),
        pad_edge=False,
        collapse_padding=True,
        box=None,
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add_row(table: Table, *cells: str) -> None:
    """Add a row of plain text: brackets in a file name are no markup."""
    table.add_row(*map(Text, cells))


def _bar(value: float, largest: float) -> str:
    if pd.isna(value) or not largest > 0:
        return ""
    eighths = round(max(0.0, value) / largest * _BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def _signed(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:+.3f}"


def _counts(images: dict[str, Any]) -> str:
    return ", ".join(f"{count} {role}" for role, count in images.items())
