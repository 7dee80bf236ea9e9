"""Tables of units: UnitMem, ClassMem, and units that were tuned."""

from lightly_memloc.report.tables.build import (
    Field,
    interval,
    make_table,
    number,
    p_of,
    text,
)
from lightly_memloc.report.tables.formats import percent, share, signed
from lightly_memloc.report.tables.result_tables import result_tables
from lightly_memloc.report.tables.table import Table
from lightly_memloc.results import ClassMemResult, UnitMemResult, UnitTuningResult

_LAYER = (text("layer"), text("kind"), number("units", str), number("dead", str))


@result_tables.register
def unit_mem_tables(result: UnitMemResult) -> list[Table]:
    """Make the tables of layers and of the units of the highest UnitMem."""
    title, fields = "UnitMem", [*_LAYER, number("mean", share)]
    if result.has_holdout:
        title += "; share of units won by members, and gap, against a holdout"
        fields += [
            number("member_share", percent, "members"),
            p_of("member_share"),
            number("gap", signed),
            p_of("gap"),
        ]
    units = result.to_pandas()
    live = units[~units["dead"]].sort_values("unit_mem", ascending=False)
    top: list[Field] = [
        text("layer"),
        number("unit", str),
        number("unit_mem", share, "UnitMem"),
        text("filename", "image"),
    ]
    return [
        make_table(title, result.layers_to_pandas(), fields, bar="mean", full=1.0),
        make_table("The units of the highest UnitMem", live.head(10), top),
    ]


@result_tables.register
def class_mem_tables(result: ClassMemResult) -> list[Table]:
    """Make the table of layers."""
    title = f"ClassMem ({result.settings['classes']} classes)"
    fields = [*_LAYER, number("mean", share), number("median", share)]
    layers = result.layers_to_pandas()
    return [make_table(title, layers, fields, bar="mean", full=1.0)]


@result_tables.register
def unit_tuning_tables(result: UnitTuningResult) -> list[Table]:
    """Make the table of layers."""
    fields = [
        text("layer"),
        number("units", str),
        number("before", share),
        number("after", share),
        number("rise", signed),
        interval("rise"),
        p_of("rise"),
        number("wins", str, "won"),
    ]
    title = "UnitMem of units, each tuned to one image"
    return [make_table(title, result.layers_to_pandas(), fields, bar="rise", full=1.0)]
