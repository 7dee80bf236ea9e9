"""Render the page of results from the tables.

    python examples/paper/page.py docs/results/paper

writes ``docs/results/paper.md``: the page of the committed tables, with how their scale
was chosen.
"""

import json
import sys
from pathlib import Path

import pandas as pd
from claims import CLAIMS, DECIDES
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from measured import CONTROLS
from over_pairs import over_pairs
from power import power_table, spread_known
from verdict import CONFIRMED, LEVEL, NOT_TESTABLE
from words import SUBJECTS, about_claim, between, summary

from lightly_memloc.report import p_value


def render(folder):
    """Render the page.

    Args:
        folder: The folder of the tables.

    Returns:
        The page in Markdown.
    """
    return _environment().get_template("page.md.jinja").render(_contents(folder))


def render_committed(folder):
    """Render the page of the committed tables, with how their scale was chosen.

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
    power = power_table(pilot, results)
    known = set(power["claim"])
    return template.render(
        contents,
        power=power.to_dict("records"),
        later=[name for name, of in DECIDES.items() if of and name not in known],
        spread=spread_known(pilot["pair"].nunique()),
    )


def _environment():
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"between": between, "p": p_value}
    return environment


def _contents(folder):
    """Collect the contents that both pages share."""
    folder = Path(folder)
    estimates = pd.read_csv(folder / "estimates.csv")
    verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")
    accuracy = pd.read_csv(folder / "accuracy.csv")
    trainings = pd.read_csv(folder / "trainings.csv").to_dict("records")
    simulated = pd.read_csv(folder / "simulated.csv").to_dict("records")
    claims = {claim.name: _of_claim(claim, estimates, verdicts) for claim in CLAIMS}
    return {
        "claims": claims,
        "verdicts": pd.Series([of["verdict"] for of in claims.values()]).value_counts(),
        "tested": sum(of["verdict"] != NOT_TESTABLE for of in claims.values()),
        "summary": summary(claims, trainings),
        "by_training": trainings,
        "simulated": simulated,
        "subjects": SUBJECTS,
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
                "decides": estimator == claim.decides,
                "subjects": subjects,
                **subjects["trained"],
            }
        )
    shown = {
        **verdict.fillna({"published": ""}).to_dict(),
        "text": claim.text,
        "called_out": [
            SUBJECTS[control]
            for control in CONTROLS
            if verdict[f"published_{control}"] == CONFIRMED
        ],
        "controls": claim.controls,
        "rows": rows,
    }
    return shown | {"shows": about_claim(shown)}


def _on_controls(estimates):
    """Count the effects on controls, and how many differ from zero.

    Separately for the published metric and for the estimators that decide verdicts.
    """
    # An effect relative to a control is exactly zero for this control: leave it out.
    of = estimates[(estimates["subject"] != "trained") & (estimates["value"] != 0)]
    published = of["estimator"] == "published"
    deciding = of[~published]["estimator"] == of[~published]["claim"].map(DECIDES)
    return {
        name: {
            "effects": len(rows),
            "found": int((rows["value_p"] <= LEVEL).sum()),
        }
        for name, rows in (
            ("published", of[published]),
            ("deciding", of[~published][deciding]),
        )
    }


if __name__ == "__main__":
    tables = Path(sys.argv[1])
    tables.with_suffix(".md").write_text(render_committed(tables), encoding="utf-8")
