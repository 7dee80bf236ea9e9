"""The committed page and tables, which `examples/paper/run.py` made."""

import re
from pathlib import Path

import pandas as pd
import pytest
from claims import CLAIMS
from page import render_committed
from scale import CPU, PILOT
from tables import estimates, verdicts

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "paper"
EXAMPLE = ROOT / "examples" / "paper"


def test_the_committed_page_is_what_the_committed_tables_say():
    page = RESULTS.with_suffix(".md").read_text(encoding="utf-8")
    assert page == render_committed(RESULTS)


def test_how_the_scale_was_chosen_is_told_without_a_number_written_by_hand():
    text = (EXAMPLE / "committed.md.jinja").read_text(encoding="utf-8")
    by_hand = re.sub(r"{{.*?}}|{%.*?%}", "", text, flags=re.DOTALL)
    claims = "|".join(claim.name for claim in CLAIMS)
    allowed = rf"\b(?:{claims})\b|80%|5%"
    assert not re.findall(r"\d+", re.sub(allowed, "", by_hand))


def test_verdicts_follow_from_the_effects():
    effects = pd.read_csv(RESULTS / "effects.csv")
    committed = pd.read_csv(RESULTS / "estimates.csv")
    pd.testing.assert_frame_equal(estimates(effects), committed, check_dtype=False)
    pd.testing.assert_frame_equal(
        verdicts(committed).replace("", float("nan")),
        pd.read_csv(RESULTS / "verdicts.csv"),
        check_dtype=False,
    )


@pytest.mark.parametrize(
    ("folder", "scale"), [(RESULTS, CPU), (RESULTS / "pilot", PILOT)]
)
def test_pilot_and_results_are_of_other_pairs(folder, scale):
    pairs = pd.read_csv(folder / "effects.csv")["pair"]
    assert set(pairs) == set(scale.numbers)
    assert not set(CPU.numbers) & set(PILOT.numbers)
