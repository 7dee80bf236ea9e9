"""The page of the results, from nothing but the tables.

    python examples/paper/page.py docs/results/paper

writes ``docs/results/paper.md``.
"""

import json
import sys
from pathlib import Path

import pandas as pd
from claims import CLAIMS
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from over_pairs import over_pairs
from power import power_table
from tables import CONTROLS

from lightly_memloc.report import p_value

_TEMPLATE = "page.md.jinja"
_SUBJECTS = {
    "untrained": "untrained encoders",
    "shuffled": "shuffled roles",
    "external": "external images alone",
}


def render(folder):
    """Render the page.

    Args:
        folder: The folder of the tables; with the pilot's effects in ``pilot``, if the
            page is to tell how the scale was chosen.

    Returns:
        The page in Markdown.
    """
    folder = Path(folder)
    estimates = pd.read_csv(folder / "estimates.csv")
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    pilot = folder / "pilot" / "effects.csv"
    power = pd.DataFrame()
    if pilot.is_file():
        power = power_table(pd.read_csv(pilot), run["pairs"])
    accuracy = pd.read_csv(folder / "accuracy.csv")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"between": _between, "p": p_value}
    return environment.get_template(_TEMPLATE).render(
        claims={claim.name: _of_claim(claim, estimates, verdicts) for claim in CLAIMS},
        subjects=_SUBJECTS,
        run=run,
        accuracy=over_pairs(accuracy, ["accuracy"], ["training"]).to_dict("records"),
        power=power.to_dict("records"),
        figures=folder.name,
    )


def _of_claim(claim, estimates, verdicts):
    """What the page says of a claim."""
    verdict = verdicts.loc[claim.name]
    of = estimates[estimates["claim"] == claim.name]
    rows = []
    for (effect, estimator), same in of.groupby(["effect", "estimator"], sort=False):
        subjects = same.set_index("subject").to_dict("index")
        rows.append(
            {
                "effect": effect,
                "estimator": estimator,
                "decides": estimator in claim.decides,
                "subjects": subjects,
                **subjects["trained"],
            }
        )
    return {
        "text": claim.text,
        "pairs": verdict["pairs"],
        "verdict": verdict["verdict"],
        "published": verdict["published"] if pd.notna(verdict["published"]) else "",
        "called_out": [
            _SUBJECTS[control]
            for control in CONTROLS
            if verdict[f"published_{control}"] == "confirmed"
        ],
        "controls": claim.controls,
        "rows": rows,
    }


def _between(of):
    """An effect with its interval; a small one with a digit more."""
    values = of["value"], of["value_low"], of["value_high"]
    digits = 4 if max(map(abs, values)) < 0.01 else 3
    value, low, high = (f"{value:+.{digits}f}" for value in values)
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    tables = Path(sys.argv[1])
    tables.with_suffix(".md").write_text(render(tables), encoding="utf-8")
