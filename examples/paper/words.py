"""Sentences about the results, made from the numbers."""

import numpy as np
import pandas as pd
from verdict import CONFIRMED, CONTRADICTED, LEVEL, NOT_CONFIRMED, NOT_TESTABLE

from lightly_memloc.report import p_value

SUBJECTS = {
    "untrained": "untrained encoders",
    "shuffled": "shuffled roles",
    "external": "external images alone",
}
_WIDER = 2


def between(of, name="value"):
    """Format an effect with its interval, if any; small effects get one more digit."""
    values = of[name], of[f"{name}_low"], of[f"{name}_high"]
    digits = 4 if np.nanmax(np.abs(values)) < 0.01 else 3
    value, low, high = (f"{value:+.{digits}f}" for value in values)
    return value if pd.isna(values[1]) else f"{value} ({low} to {high})"


def equals(name, p):
    """Format a p-value with its name, such as ``p = .012`` or ``q < .001``."""
    return f"{name} = {p_value(p)}".replace("= <", "< ")


def about_claim(of):
    """Say what the results show about a claim.

    Args:
        of: What the page shows about it: the row of ``verdicts.csv``, and ``rows``.

    Returns:
        Sentences.
    """
    deciding = [row for row in of["rows"] if row["decides"]]
    if not deciding:
        return _untestable(of)
    if pd.isna(of["p"]):
        return _verdict(of)
    said = [_verdict(of)]
    said += _one(deciding[0]) if len(deciding) == 1 else _several(deciding)
    said += _published(of, deciding) + _controls(deciding)
    return " ".join(said)


def summary(claims, trainings):
    """Summarise the verdicts, one sentence each.

    Args:
        claims: What the page shows about each claim, by name.
        trainings: The rows of ``trainings.csv``.
    """
    lines = []
    for verdict in (CONFIRMED, CONTRADICTED, NOT_TESTABLE):
        of = [name for name, of in claims.items() if of["verdict"] == verdict]
        lines.append(f"**{verdict.capitalize()}:** {_claims(of, claims)}")
    open_ = [name for name, of in claims.items() if of["verdict"] == NOT_CONFIRMED]
    lines.append(f"**{NOT_CONFIRMED.capitalize()}:** {listed(open_)}.")
    lost = [name for name in open_ if claims[name]["p"] <= LEVEL]
    lines.append(
        f"Claims with p of at most {LEVEL} whose q is above it: {listed(lost)}."
    )
    found = [
        name
        for name, of in claims.items()
        if of["published"] == CONFIRMED and of["called_out"]
    ]
    lines.append(
        "Claims that the published metric confirms both for the trained encoders and for "
        f"a control with nothing to find: {listed(found)}."
    )
    return lines + about_trainings(trainings)


def about_trainings(trainings):
    """Say in which trainings each measure shows memorisation."""
    both = ("rise", "share")
    found = {
        column: [of["training"] for of in trainings if _found(of, column) > 0]
        for column in both
    }
    neither = [
        of["training"]
        for of in trainings
        if not any(_found(of, column) > 0 for column in both)
    ]
    return [
        "Trainings in which symmetric LayerMem rises with depth (adjusted p of at most "
        f"{LEVEL}, see below): {listed(found['rise'])}.",
        "Trainings in which members win more than half of the units of the last third "
        f"of the layers: {listed(found['share'])}.",
        "Trainings in which neither shows, which does not exclude memorisation: "
        f"{listed(neither)}.",
    ]


def listed(names):
    """List names in a sentence."""
    names = [f"`{name}`" for name in names]
    if len(names) < 2:
        return names[0] if names else "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _claims(names, claims):
    if not names:
        return "none."
    return " ".join(f"`{name}` {claims[name]['text']}" for name in names)


def _untestable(of):
    """Say in which encoders the numbers of a claim are the same without memorisation."""
    (row,) = of["rows"]
    said = [
        f"The published comparison gives {between(row)}.",
        "It is no test, because its maxima are over different numbers of images and "
        "classes (see below).",
    ]
    controls = [
        f"{between(row['subjects'][control])} for {SUBJECTS[control]}"
        for control in of["controls"]
    ]
    if controls:
        said.insert(1, f"It gives {', '.join(controls)}.")
    return " ".join(said)


def _verdict(of):
    said = f"**{of['verdict'].capitalize()}**"
    if pd.isna(of["p"]):
        return f"{said}, because there are too few pairs for an interval."
    values = ", ".join(
        equals(name, of[column])
        for name, column in (("p", "p"), ("Holm p", "holm"), ("q", "q"))
    )
    said += f" ({values})."
    if of["verdict"] == NOT_CONFIRMED and of["p"] <= LEVEL:
        said += " The p-value alone is below the level, but it is one of many claims."
    return said


def _one(row):
    """Describe the interval of a claim's only effect."""
    if row["value_low"] > 0 or row["value_high"] < 0:
        side = "above" if row["value_low"] > 0 else "below"
        return [f"The interval of the effect lies {side} zero."]
    return ["The interval of the effect includes zero."]


def _several(rows):
    """Describe which of several effects differ from zero."""
    names = {sign: [] for sign in (1, -1, 0)}
    for row in rows:
        names[_found(row, "value")].append(row["effect"])
    return [
        f"Of {len(rows)} effects, after Holm's correction within the claim, positive: "
        f"{listed(names[1])}; negative: {listed(names[-1])}; not significant: "
        f"{listed(names[0])}."
    ]


def _published(of, deciding):
    """Compare the published metric with the deciding estimator."""
    said = []
    if of["published"] and deciding[0]["estimator"] != "published":
        q = equals("q", of["published_q"])
        said.append(f"Verdict of the published metric: {of['published']} ({q}).")
    for row in deciding:
        for other in of["rows"]:
            if (other["effect"], other["estimator"]) == (row["effect"], "published"):
                ratio = _width(other) / _width(row) if _width(row) else 0
                if len(deciding) == 1 and ratio >= _WIDER:
                    said.append(
                        f"Its interval is {ratio:.0f} times as wide as that of the "
                        f"{row['estimator']} estimator."
                    )
    return said


def _controls(deciding):
    """Say on which controls the deciding effects differ from zero."""
    differs = {
        subject: [
            row["effect"]
            for row in deciding
            if row["subjects"][subject]["value_p"] <= LEVEL
        ]
        for subject in deciding[0]["subjects"]
        if subject != "trained"
    }
    if not differs:
        return []
    number = len(differs) * len(deciding)
    found = [
        SUBJECTS[subject] + (f" ({listed(effects)})" if len(deciding) > 1 else "")
        for subject, effects in differs.items()
        if effects
    ]
    return [
        f"On the controls, {sum(map(len, differs.values()))} of {number} deciding "
        "effects differ from zero at the 5% level, before correction"
        + (f": {'; '.join(found)}." if found else ".")
    ]


def _found(of, name):
    """Return the sign of an effect that differs from zero after correction, else 0."""
    if not of[f"{name}_p_adjusted"] <= LEVEL:
        return 0
    return 1 if of[name] > 0 else -1


def _width(row):
    return row["value_high"] - row["value_low"]
