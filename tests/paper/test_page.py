import re
import shutil

import pandas as pd
import pytest
from page import render


@pytest.fixture
def folder(out, tmp_path):
    return shutil.copytree(out / "results", tmp_path / "paper")


def test_the_page_is_written_beside_the_tables(out):
    assert (out / "results.md").read_text(encoding="utf-8") == render(out / "results")


def test_each_claim_has_its_verdict(folder):
    page = render(folder)
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")["verdict"]
    for claim, verdict in verdicts.items():
        assert re.search(rf"^\| {claim} \| .* \| \*\*{verdict}\*\* \|", page, re.M)


def test_the_figures_of_the_page_are_there(folder):
    shown = re.findall(r"\]\(([^)]+\.svg)\)", render(folder))
    assert {f"paper/{path.name}" for path in folder.glob("*.svg")} == set(shown)


def test_what_the_tables_say_the_page_says(folder):
    table = pd.read_csv(folder / "estimates.csv")
    of = (table["claim"] == "5a") & (table["subject"] == "trained")
    table.loc[of, ["value", "value_low", "value_high"]] = [0.1234, 0.1111, 0.1357]
    table.to_csv(folder / "estimates.csv", index=False)
    assert "| +0.123 (+0.111 to +0.136) |" in render(folder)


def test_controls_on_which_the_published_metric_shows_it_are_called_out(folder):
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    row = next(
        line for line in render(folder).splitlines() if line.startswith("| 2a |")
    )
    for control, words in (
        ("untrained", "untrained encoders"),
        ("shuffled", "shuffled roles"),
        ("external", "external images alone"),
    ):
        found = verdicts.loc["2a", f"published_{control}"] == "confirmed"
        assert (words in row) == found


def test_a_pilot_tells_how_the_scale_was_chosen(folder):
    assert "How the scale was chosen" not in render(folder)
    (folder / "pilot").mkdir()
    shutil.copy(folder / "effects.csv", folder / "pilot")
    assert "How the scale was chosen" in render(folder)
