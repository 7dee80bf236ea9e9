"""The committed page and tables, which `examples/paper/run.py` made."""

import re
from pathlib import Path

import pandas as pd
import pytest
from claims import CLAIMS
from scale import CPU, PILOT

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "paper"
EXAMPLE = ROOT / "examples" / "paper"


def test_how_the_scale_was_chosen_is_told_without_a_number_written_by_hand():
    text = (EXAMPLE / "committed.md.jinja").read_text(encoding="utf-8")
    by_hand = re.sub(r"{{.*?}}|{%.*?%}", "", text, flags=re.DOTALL)
    claims = "|".join(claim.name for claim in CLAIMS)
    allowed = rf"\b(?:{claims})\b|80%|5%"
    assert not re.findall(r"\d+", re.sub(allowed, "", by_hand))


@pytest.mark.parametrize(
    ("folder", "scale"), [(RESULTS, CPU), (RESULTS / "pilot", PILOT)]
)
def test_pilot_and_results_are_of_other_pairs(folder, scale):
    pairs = pd.read_csv(folder / "effects.csv")["pair"]
    assert set(pairs) == set(scale.numbers)
    assert not set(CPU.numbers) & set(PILOT.numbers)
