import pandas as pd

from lightly_memloc.results import ProbeResult
from tests.compare_tables import differences


def saved(folder, name, accuracy):
    row = {
        "encoder": "f",
        "probe": "knn",
        "accuracy": accuracy,
        "low": 0.1,
        "high": 0.9,
    }
    table = pd.DataFrame([row])
    ProbeResult({"skipped": []}, {"probes": table}).save(folder / name)


def test_tables_are_compared_to_the_last_bit(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    saved(before, "one", 0.5)
    saved(after, "one", 0.5)
    assert list(differences(before, after)) == []
    saved(after, "one", 0.5 + 2**-53)
    (found,) = differences(before, after)
    assert found.startswith("one/probes: ")


def test_a_table_of_one_side_is_named(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    saved(before, "gone", 0.5)
    saved(after, "new", 0.5)
    assert list(differences(before, after)) == [
        f"gone/probes: only in {before}",
        f"new/probes: only in {after}",
    ]
