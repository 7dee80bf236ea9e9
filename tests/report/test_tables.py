import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lightly_memloc import measure_class_mem, measure_unit_mem
from lightly_memloc.report import p_value, report_of
from lightly_memloc.report.tables import (
    Column,
    Field,
    Table,
    error_in_points,
    interval,
    make_table,
    number,
    p_of,
    percent,
    points,
    share,
    signed,
    text,
)
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
from tests.report.shown import printed, with_effect

NAN = float("nan")
LAYERS = (
    "encoder.layers.encoder_layer_11.self_attention.out_proj",
    "fc",
    "encoder.layers.encoder_layer_11.mlp.3.a_projection[to_the_residual_stream]",
)
FILENAME = "n01440764/a-long-name-that-a-camera-gave-it-" + "0123456789" * 6 + ".JPEG"
EIGHTHS = dict(zip("▏▎▍▌▋▊▉█", range(1, 9), strict=True))


def lines(table, width=80):
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    console.print(table, crop=False)
    return [line.rstrip() for line in console.export_text().splitlines()]


def bar_lengths(table):
    """Eighths of a character of each row's bar, as the terminal shows it."""
    return [
        sum(EIGHTHS.get(character, 0) for character in line)
        for line in lines(table, 200)[2:]
    ]


FRAME = pd.DataFrame(
    {
        "layer": ["conv1", "fc"],
        "units": [64, 1000],
        "rise": [0.0421, NAN],
        "rise_low": [-0.01, NAN],
        "rise_high": [0.0951, NAN],
        "rise_p": [0.0004, NAN],
    }
)
FIELDS = [
    text("layer"),
    number("units", str),
    number("rise", signed, "rise of UnitMem"),
    interval("rise", percent),
    p_of("rise"),
]


def test_a_table_has_a_cell_for_each_row_and_field():
    table = make_table("Rise", FRAME, FIELDS)
    assert table == Table(
        "Rise",
        (
            Column("layer", is_number=False),
            Column("units"),
            Column("rise of UnitMem"),
            Column("95% interval"),
            Column("p"),
        ),
        (
            ("conv1", "64", "+0.042", "-1% 10%", "<.001"),
            ("fc", "1000", "-", "-", "-"),
        ),
    )


def test_a_field_may_be_of_several_columns():
    best = Field("best of", ("rise_low", "rise_high"), lambda *ends: f"{max(ends):.1f}")
    assert make_table("", FRAME[:1], [best]).rows == (("0.1",),)


def test_whole_numbers_stay_whole_beside_fractions():
    frame = pd.DataFrame({"distance": [1, 2], "tau": [0.5, 0.25]})
    table = make_table("", frame, [text("distance"), number("tau", share)])
    assert table.rows == (("1", "0.500"), ("2", "0.250"))


def test_an_empty_frame_has_no_rows():
    table = make_table("Rise", FRAME[:0], FIELDS, bar="rise")
    assert (table.rows, table.bars) == ((), ())
    assert lines(table)[0] == "Rise"


@pytest.mark.parametrize(
    ("shown", "value", "expected"),
    [
        (signed, 0.12345, "+0.123"),
        (signed, -2.0, "-2.000"),
        (share, 0.5, "0.500"),
        (percent, 0.256, "26%"),
        (points, -0.0314, "-3.1"),
        (points, 0.5, "+50.0"),
        (error_in_points, 0.012, "1.2"),
        (signed, NAN, "-"),
        (share, NAN, "-"),
        (points, NAN, "-"),
        (error_in_points, NAN, "-"),
    ],
)
def test_formats(shown, value, expected):
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("values", "full", "bars"),
    [
        ([0.1, 0.4], None, (0.25, 1.0)),
        ([-0.8, 0.4], None, (0.0, 0.5)),
        ([0.1, NAN], 0.5, (0.2, 0.0)),
        ([0.25, 3.0], 1.0, (0.25, 1.0)),
        ([0.0, NAN], None, (0.0, 0.0)),
        ([NAN, NAN], None, (0.0, 0.0)),
    ],
)
def test_bars_are_shares_of_the_full_one(values, full, bars):
    frame = pd.DataFrame({"layer": ["a", "b"], "value": values})
    table = make_table("", frame, [text("layer")], bar="value", full=full)
    assert table.bars == pytest.approx(bars)


def test_bars_on_a_terminal_are_six_characters_in_eighths():
    shares = [0.0, 1 / 48, 0.5, 23 / 48, 1.0]
    rows = tuple((name,) for name in "abcde")
    table = Table("title", (Column("layer", False),), rows, tuple(shares))
    assert bar_lengths(table) == [0, 1, 24, 23, 48]
    assert lines(table)[-1].split() == ["e", "██████"]


def test_cells_titles_and_headers_are_not_markup():
    rows = (("[red]a[/red].png", "[1]"),)
    columns = (Column("[bold]file[/bold]", False), Column("[/]"))
    title, header, row = lines(Table("by [link]layers[0][/link]", columns, rows))
    assert title == "by [link]layers[0][/link]"
    assert header.split() == ["[bold]file[/bold]", "[/]"]
    assert row.split() == ["[red]a[/red].png", "[1]"]


def test_numbers_are_aligned_to_the_right():
    table = make_table("Rise", FRAME, FIELDS[:2])
    assert lines(table)[1:] == ["layer units", "conv1    64", "fc     1000"]


@pytest.mark.parametrize("width", [30, 40, 60])
def test_numbers_stay_whole_on_a_narrow_terminal(width):
    table = make_table("Rise", FRAME, FIELDS, bar="rise")
    words = " ".join(lines(table, width)).split()
    for row in table.rows:
        for cell in row[1:]:
            assert set(cell.split()) <= set(words)


def estimate(name, values):
    values = np.asarray(values)
    return {
        name: values,
        f"{name}_error": 0.1234,
        f"{name}_low": values - 0.5,
        f"{name}_high": values + 0.5,
        f"{name}_p": 0.0001,
    }


VALUES = np.array([-0.25, 0.5, 0.125])
BY_LAYER = pd.DataFrame(
    {"layer": LAYERS, "kind": "attention", "units": 49152, "dead": 1234, "runs": 128}
)
COUNTS = {"candidate": 100000, "independent": 100000, "external": 100000}
IMAGES = pd.DataFrame({"index": range(3), "filename": FILENAME})


def with_estimates(*names):
    columns = [estimate(name, VALUES) for name in names]
    return BY_LAYER.assign(**{k: v for of in columns for k, v in of.items()})


def layer_mem():
    layers = with_estimates("layer_mem", "calibrated", "symmetric", "alignment_gap")
    samples = IMAGES.assign(role="candidate", **dict.fromkeys(LAYERS, 0.25))
    return LayerMemResult({"images": COUNTS}, {"layers": layers, "samples": samples})


def ssl_mem_runs():
    samples = IMAGES.assign(layer=LAYERS[-1], runs=128, **estimate("ssl_mem", VALUES))
    return SSLMemRunsResult(
        {"runs": [f"run-{number}" for number in range(128)]},
        {"layers": with_estimates("ssl_mem", "shuffled"), "samples": samples},
    )


def membership():
    layers = with_estimates("tpr").assign(**estimate("auc", [0.375, 0.75, 1.0]))
    tables = [layers.assign(score=score) for score in ("alignment", "ssl_mem")]
    return MembershipResult({"images": COUNTS}, {"layers": pd.concat(tables)})


def unit_mem():
    layers = with_estimates("member_share", "gap").assign(mean=[0.25, 1.0, NAN])
    units = pd.DataFrame(
        {"layer": LAYERS, "unit": 49151, "unit_mem": 0.5, "dead": False}
    )
    units["filename"] = FILENAME
    return UnitMemResult({}, {"layers": layers, "units": units})


def class_mem():
    layers = BY_LAYER.assign(mean=[0.25, 1.0, NAN], median=0.5)
    return ClassMemResult({"classes": 1000}, {"layers": layers})


def unit_tuning():
    layers = with_estimates("rise").assign(before=0.25, after=0.75, wins=16)
    return UnitTuningResult({}, {"layers": layers})


def analysis():
    whole = BY_LAYER.assign(
        images=49999,
        winners=0.1,
        others=-0.1,
        most=0.1,
        least=-0.1,
        t_p=0.5,
        external_difference=-0.25,
        units_most=49152,
        units_least=49152,
        unit_mem_most=0.5,
        unit_mem_least=0.25,
        unit_mem=[0.25, 0.5, 1.0],
        class_mem=0.25,
        **(estimate("difference", VALUES) | estimate("tau", VALUES)),
        **estimate("above", [1.0, 1.0, 1.0]),
    )
    pairs = pd.DataFrame(
        {"distance": [1, 1, 2], "overlap": [0.5, 0.25, 0.125], "chance": 0.1}
    ).assign(tau=[0.5, 0.25, 0.1], external_tau=-0.1)
    names = ("atypical", "atypical_units", "units_won", "unit_class")
    return AnalysisResult({}, {"consistency": pairs, **dict.fromkeys(names, whole)})


def curation():
    accuracy = pd.DataFrame(
        {"encoder": ["original", "without memorized"], "accuracy": 1.0}
    )
    layers = with_estimates("difference").assign(
        original=0.1, without_memorized=-0.1, without_random=0.1
    )
    tables = {
        "samples": IMAGES.assign(role="candidate or independent", ssl_mem=0.2, p=0.5),
        "accuracy": accuracy.assign(low=1.0, high=1.0),
        "layers": layers,
    }
    settings = {"number": 10000, "scored": 100000, "layer": LAYERS[0]}
    counts = {"external": 100000, "compared": 100000}
    return CurationResult(settings | {"images": counts}, tables)


def intervention():
    summary = pd.DataFrame({"strategy": ["highest", "random"], "trials": 128})
    summary = summary.assign(
        baseline=1.0,
        accuracy=0.0,
        **estimate("change", [-1.0, -0.5]),
        **estimate("over_random", [-1.0, NAN]),
    )
    return InterventionResult({"intervention": "finetune"}, {"summary": summary})


def probes():
    table = pd.DataFrame({"encoder": ["f", "g"], "probe": "logistic", "accuracy": 1.0})
    settings = {"test": 100000, "train": 1000000, "classes": 1000}
    return ProbeResult(settings, {"probes": table.assign(low=1.0, high=1.0)})


class TheirResult(Result):
    kind = "their-largest"

    def scalars(self):
        of_layers = dict(zip(LAYERS, (2.5, -5.0, 1234.5678), strict=True))
        return {f"largest/{layer}": value for layer, value in of_layers.items()} | {
            "accuracy/f/knn": 0.5
        }


def theirs():
    return TheirResult({}, {})


RESULTS = [
    layer_mem,
    ssl_mem_runs,
    membership,
    unit_mem,
    class_mem,
    unit_tuning,
    analysis,
    curation,
    intervention,
    probes,
    theirs,
]


@pytest.mark.parametrize("result", RESULTS)
def test_every_table_fits_80_columns_and_nothing_is_cut(result):
    for table in report_of(result()).tables():
        shown = lines(table)
        assert max(map(len, shown)) <= 80
        assert "…" not in "".join(shown)
        assert "".join(table.title.split()) in "".join("".join(shown).split())
        wide = lines(table, 1000)
        assert len(wide) == 2 + len(table.rows)
        for row, line in zip(table.rows, wide[2:], strict=True):
            assert line.split()[: len(" ".join(row).split())] == " ".join(row).split()
        # Numbers and intervals stay on the first line of their row.
        for row in table.rows:
            numbers = [
                cell
                for cell, column in zip(row, table.columns, strict=True)
                if column.is_number
            ]
            first = [line for line in shown if all(f" {n}" in line for n in numbers)]
            assert first


@pytest.mark.parametrize("result", RESULTS)
def test_folded_names_can_be_put_together_again(result):
    for table in report_of(result()).tables():
        if table.columns[0].header not in ("layer", "file name"):
            continue
        shown = lines(table)
        assert "".join(line.split(" ")[0] for line in shown).count(table.rows[0][0]) > 0


def test_what_a_bar_shows():
    relative = [0, 48, 12]
    expected = {
        layer_mem: [relative, None],
        ssl_mem_runs: [relative, None],
        # Of an AUC, what is above chance.
        membership: [[0, 24, 48], [0, 24, 48]],
        unit_mem: [[12, 48, 0], None, None, None],
        class_mem: [[12, 48, 0]],
        unit_tuning: [[0, 24, 6]],
        analysis: [None, relative, None, [0, 24, 6], [12, 24, 48]],
        curation: [None, None, None],
        intervention: [None],
        probes: [[48, 48]],
        theirs: [[0, 0, 48], [48]],
    }
    for result, bars in expected.items():
        tables = report_of(result()).tables()
        assert len(tables) == len(bars)
        for table, lengths in zip(tables, bars, strict=True):
            assert (table.bars is None) == (lengths is None)
            assert bar_lengths(table) == (lengths or [0] * len(table.rows))


def test_layers_apart_are_averaged():
    table = report_of(analysis()).tables()[0]
    assert table.rows == (
        ("1", "2", "38%", "10%", "+0.375", "-0.100"),
        ("2", "1", "12%", "10%", "+0.100", "-0.100"),
    )


def test_without_externals_there_is_no_estimate_beside_the_published_one():
    result = layer_mem()
    for name in ("calibrated", "symmetric", "alignment_gap"):
        result.tables["layers"][name] = NAN
    table = report_of(result).tables()[0]
    assert [column.header for column in table.columns] == ["layer", "kind", "LayerMem"]
    result.tables["layers"]["layer_mem"] = NAN
    result.tables["samples"][list(LAYERS)] = NAN
    (table,) = report_of(result).tables()
    assert [column.header for column in table.columns] == ["layer", "kind"]


def test_a_result_of_another_package_has_tables_of_what_it_logs():
    largest, accuracy = report_of(theirs()).tables()
    assert largest.title == "largest (their-largest)"
    assert [column.header for column in largest.columns] == ["layer", "largest"]
    assert [row[1] for row in largest.rows] == ["2.5", "-5", "1235"]
    assert accuracy.rows == (("f/knn", "0.5"),)


def test_a_subclass_has_the_tables_of_its_class():
    class Sharper(ClassMemResult):
        kind = "sharper"

    result = class_mem()
    found = report_of(Sharper(result.settings, result.tables)).tables()
    assert found == report_of(result).tables()


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0005, "<.001"), (0.0123, ".012"), (0.5, ".500"), (1.0, "1"), (np.nan, "-")],
)
def test_p_values(p, shown):
    assert p_value(p) == shown


@pytest.fixture
def measured_units(encoders, digits, transform):
    return measure_unit_mem(
        encoders[0], digits, transform, range(8), range(8, 16), n_views=2
    )


@pytest.fixture
def measured_classes(encoders, digits, transform):
    return measure_class_mem(encoders[0], digits, transform, range(8), n_views=2)


def test_tables_fit_80_columns_and_keep_every_name(measured_units, measured_classes):
    long = "encoder.layers.encoder_layer_11.self_attention"
    for result, expected in [
        (with_effect(0.1, layers=("conv1", long)), "+0.05"),
        (measured_units, "members"),
        (measured_classes, "10 classes"),
    ]:
        text = printed(result)
        assert max(map(len, text.splitlines())) <= 80
        assert expected in text
    text = printed(with_effect(0.1, layers=("conv1", long)))
    first_column = "".join(line.split(" ")[0] for line in text.splitlines())
    assert long in first_column


def test_names_are_not_markup(measured_units):
    measured_units.tables["units"]["filename"] = "[red]a[/red].png"
    assert "[red]a[/red].png" in printed(measured_units, width=200)
