"""Render the page of results from the tables.

    python examples/paper/page.py docs/results/paper

writes ``docs/results/paper.md``: the page with what the committed tables show and how
their scale was chosen.
"""

import json
import sys
from functools import partial
from pathlib import Path

import pandas as pd
from claims import CLAIMS, DECIDES
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from over_pairs import over_pairs
from power import power_table, spread_known
from tables import CONTROLS
from verdict import NOT_CONFIRMED

from lightly_memloc.report import p_value

_SUBJECTS = {
    "untrained": "untrained encoders",
    "shuffled": "shuffled roles",
    "external": "external images alone",
}


def render(folder):
    """Render the page.

    Args:
        folder: The folder of the tables.

    Returns:
        The page in Markdown.
    """
    return _environment().get_template("page.md.jinja").render(_contents(folder))


def render_committed(folder):
    """Render the page of the committed tables, with conclusions.

    Args:
        folder: The folder of the tables, with the effects of the pilot in ``pilot``.

    Returns:
        The page in Markdown.
    """
    contents = _contents(folder)
    results, pilot = (
        pd.read_csv(Path(folder) / name / "effects.csv") for name in ("", "pilot")
    )
    template = _environment().get_template("committed.md.jinja")
    return template.render(
        contents,
        found=partial(_found, contents["claims"]),
        wider=partial(_wider, contents["claims"]),
        power=power_table(pilot, results).to_dict("records"),
        spread=spread_known(pilot["pair"].nunique()),
    )


def _found(claims, name, estimator):
    """Return the effect, over pairs, of a claim that has only one effect."""
    (row,) = (row for row in claims[name]["rows"] if row["estimator"] == estimator)
    return row


def _wider(claims, name, estimator, other):
    """Return how many times as wide an estimator's interval is as another's."""
    ends = [_found(claims, name, of) for of in (estimator, other)]
    widths = [of["value_high"] - of["value_low"] for of in ends]
    return round(widths[0] / widths[1])


def _environment():
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"between": _between, "p": p_value}
    return environment


def _contents(folder):
    """Collect the contents that both pages share."""
    folder = Path(folder)
    estimates = pd.read_csv(folder / "estimates.csv")
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    accuracy = pd.read_csv(folder / "accuracy.csv")
    return {
        "claims": {
            claim.name: _of_claim(claim, estimates, verdicts) for claim in CLAIMS
        },
        "subjects": _SUBJECTS,
        "on_controls": _on_controls(estimates),
        "run": json.loads((folder / "run.json").read_text(encoding="utf-8")),
        "accuracy": over_pairs(accuracy, ["accuracy"], ["training"]).to_dict("records"),
        "folder": folder.name,
    }


def _of_claim(claim, estimates, verdicts):
    """Collect what the page shows about a claim."""
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


def _on_controls(estimates):
    """Count the effects on controls, and how many differ from zero.

    Separately for the published metric and for the estimators that decide verdicts.
    """
    # An effect relative to a control is exactly zero for this control: leave it out.
    of = estimates[(estimates["subject"] != "trained") & (estimates["value"] != 0)]
    published = of["estimator"] == "published"
    deciding = [
        row.estimator in DECIDES[row.claim] for row in of[~published].itertuples()
    ]
    return {
        name: {
            "effects": len(rows),
            "found": int((rows["verdict"] != NOT_CONFIRMED).sum()),
        }
        for name, rows in (
            ("published", of[published]),
            ("deciding", of[~published][deciding]),
        )
    }


def _between(of):
    """Format an effect with its interval; small effects get one more digit."""
    values = of["value"], of["value_low"], of["value_high"]
    digits = 4 if max(map(abs, values)) < 0.01 else 3
    value, low, high = (f"{value:+.{digits}f}" for value in values)
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    tables = Path(sys.argv[1])
    tables.with_suffix(".md").write_text(render_committed(tables), encoding="utf-8")
