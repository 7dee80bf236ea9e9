"""Tables of what results say together."""

import numpy as np
import pandas as pd

from lightly_memloc.report.tables.build import interval, make_table, number, p_of, text
from lightly_memloc.report.tables.formats import percent, share, signed
from lightly_memloc.report.tables.result_tables import result_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import AnalysisResult


@result_tables.register
def analysis_tables(result: AnalysisResult) -> list[Table]:
    """Make a table for each comparison that was made."""
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
    means = ["overlap", "chance", "tau", "external_tau"]
    by_distance = pairs.groupby("distance")
    return make_table(
        "Do layers memorise the same images? By distance between them",
        by_distance[means].mean().assign(pairs=by_distance.size()).reset_index(),
        [
            text("distance", "layers apart"),
            number("pairs", str),
            number("overlap", percent),
            number("chance", percent, "by chance"),
            number("tau", signed),
            number("external_tau", signed, "tau of external images"),
        ],
    )


def _atypical(layers: pd.DataFrame) -> Table:
    if "external_difference" not in layers:
        layers = layers.assign(external_difference=np.nan)
    return make_table(
        "The most against the least memorised images (SSLMem)",
        layers,
        [
            text("layer"),
            number("most", signed),
            number("least", signed),
            # Under its own name the difference leaves no room for bars.
            number("difference", signed, "gap"),
            interval("difference"),
            p_of("t"),
            number("external_difference", signed, "external"),
        ],
        bar="difference",
    )


def _atypical_units(layers: pd.DataFrame) -> Table:
    return make_table(
        "Units won by the most and the least memorised images",
        layers,
        [
            text("layer"),
            number("units_most", str, "most win"),
            number("units_least", str, "least win"),
            number("unit_mem_most", share, "UnitMem, most"),
            number("unit_mem_least", share, "UnitMem, least"),
            p_of("t"),
        ],
    )


def _units_won(layers: pd.DataFrame) -> Table:
    return make_table(
        "SSLMem of images that win units, and of others",
        layers,
        [
            text("layer"),
            number("units", str),
            number("images", str),
            number("winners", signed),
            number("others", signed),
            p_of("difference"),
            number("tau", signed),
            p_of("tau"),
        ],
        bar="tau",
        full=1.0,
    )


def _unit_class(layers: pd.DataFrame) -> Table:
    return make_table(
        "Units tied to an image (UnitMem) or to a class (ClassMem)",
        layers,
        [
            text("layer"),
            number("units", str),
            number("unit_mem", share, "UnitMem"),
            number("class_mem", share, "ClassMem"),
            number("above", percent),
            interval("above", percent),
            number("tau", signed),
        ],
        bar="unit_mem",
        full=1.0,
    )
