"""Results of version 0.1.0, and results that were edited by hand.

``tests/results/version_0_1_0`` contains results that version 0.1.0 measured and saved.
To be small, tables have at most 60 rows, or 12 images of each role.
"""

import copy
import json
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.report import report_of
from tests.cli.commands import invoke

OLD = Path(__file__).parents[1] / "results/version_0_1_0"
NEW = Path(__file__).parents[2] / "docs/results"
KINDS = sorted(path.name for path in OLD.iterdir())
NEWER = sorted(
    str(path.parent.relative_to(NEW))
    for path in NEW.glob("[dir]*/**/result.json")
    if "paper" not in path.parts
)


def document_of(name):
    """A result with its tables in the document, as version 0.1.0 saved it."""
    if name in KINDS:
        return json.loads((OLD / name / "result.json").read_text(encoding="utf-8"))
    document = load_result(NEW / name).to_dict() | {"schema": 2}
    for table in document["tables"].values():
        del table["rows"][60:]
    return document


def shown(result):
    """All that is shown of a result, which must not fail."""
    report = report_of(result)
    said = [report.title, report.words(), report.measured(), *report.limits()]
    assert report.tables()
    report.next_steps()
    result.scalars()
    json.dumps(result.to_dict(), allow_nan=False)
    for figure in report.figures().values():
        plt.close(figure)
    return said


@pytest.mark.parametrize("name", KINDS)
def test_results_of_version_0_1_0_are_read_and_shown(name):
    result = load_result(OLD / name)
    assert result.version == "0.1.0"
    for table, of in document_of(name)["tables"].items():
        assert result.tables[table].columns.tolist() == of["columns"]
        assert len(result.tables[table]) == len(of["rows"])
    assert all(isinstance(text, str) for text in shown(result))


def test_all_of_them_on_one_page(tmp_path, capsys):
    shutil.copytree(OLD, tmp_path / "old")
    assert invoke("report", tmp_path / "old") == 0
    assert capsys.readouterr().err == ""
    page = (tmp_path / "old" / "report.html").read_text(encoding="utf-8")
    assert page.count("<section") >= len(KINDS)


def column(table, name, edit):
    """Edits that act on the cells of one column."""

    def act(document):
        of = document["tables"][table]
        place = of["columns"].index(name)
        edit(of, place)

    return act


def drop(of, place):
    for row in (of["columns"], *of["rows"]):
        del row[place]


def spoil(of, place):
    for row in of["rows"]:
        row[place] = "spoiled"


def edits(document):
    """Everything that can be lacking or of another type, one at a time."""
    for name, table in document["tables"].items():
        yield f"no table {name}", lambda d, n=name: d["tables"].pop(n)
        yield f"no rows in {name}", lambda d, n=name: d["tables"][n]["rows"].clear()
        for of in table["columns"]:
            yield f"no column {name}.{of}", column(name, of, drop)
            yield f"spoiled column {name}.{of}", column(name, of, spoil)
    for name in document["settings"]:
        yield f"no setting {name}", lambda d, n=name: d["settings"].pop(n)
    for place in ("settings", "tables", "result"):
        yield f"no {place}", lambda d, p=place: d.pop(p)
        for other in (None, [], "text", 3):
            yield (
                f"{place} is {other!r}",
                lambda d, p=place, o=other: d.update({p: o}),
            )


@pytest.mark.parametrize("name", [*KINDS, *NEWER])
def test_whatever_was_edited_it_is_shown_or_refused_by_name(name, tmp_path):
    whole = document_of(name)
    outcomes = set()
    for edited, edit in edits(whole):
        document = copy.deepcopy(whole)
        edit(document)
        path = tmp_path / "result.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        try:
            result = load_result(tmp_path)
        except MemorizationError as error:
            outcomes.add("refused" if str(tmp_path) in str(error) else str(error))
            continue
        try:
            shown(result)
        except Exception as error:
            raise AssertionError(f"{edited}: {error!r}") from error
        outcomes.add("shown")
    assert outcomes == {"refused", "shown"}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_unknown_is_kept(name, tmp_path):
    document = document_of(name)
    document["new"] = {"of": "a later version"}
    document["settings"]["new"] = [1, 2]
    document["tables"]["new"] = {"columns": ["a"], "rows": [[1]]}
    for table in document["tables"].values():
        table["columns"].append("unknown")
        for row in table["rows"]:
            row.append(0.5)
    (tmp_path / "result.json").write_text(json.dumps(document), encoding="utf-8")
    result = load_result(tmp_path)
    assert result.settings["new"] == [1, 2]
    assert result.tables["new"]["unknown"].tolist() == [0.5]
    shown(result)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", '"text"', "{}", "\x00", "NaN"]
)
@pytest.mark.parametrize("name", ["layer-mem", "curate"])
def test_files_that_are_no_result(name, text, tmp_path, capsys):
    for good in ("membership", "prune"):
        shutil.copytree(OLD / good, tmp_path / "all" / good)
    (tmp_path / "all" / name).mkdir()
    (tmp_path / "all" / name / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(MemorizationError, match=name):
        load_result(tmp_path / "all" / name)
    code = invoke("report", tmp_path / "all" / name)
    assert (code, "Traceback" in capsys.readouterr().err) == (2, False)


@pytest.mark.filterwarnings("default::lightly_memloc.errors.MemorizationWarning")
def test_a_broken_result_does_not_block_the_others(tmp_path, capsys):
    shutil.copytree(OLD, tmp_path / "all")
    (tmp_path / "all" / "layer-mem" / "result.json").write_text("{", encoding="utf-8")
    shutil.copytree(NEW / "interventions/membership", tmp_path / "all" / "new")
    (tmp_path / "all" / "new" / "layers.csv").write_text("broken", encoding="utf-8")
    assert invoke("report", tmp_path / "all", "--json") == 0
    out, err = capsys.readouterr()
    assert sorted(json.loads(out)) == sorted({*KINDS} - {"layer-mem"})
    for name in ("layer-mem", "new"):
        assert f"A result is left out: {tmp_path / 'all' / name}" in " ".join(
            err.split()
        )
