"""Sentences about the results, made from the numbers."""

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
    """Format an effect with its interval; small effects get one more digit."""
    values = of[name], of[f"{name}_low"], of[f"{name}_high"]
    digits = 4 if max(map(abs, values)) < 0.01 else 3
    value, low, high = (f"{value:+.{digits}f}" for value in values)
    return f"{value} ({low} to {high})"


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
        f"Symmetric LayerMem rises with depth in {listed(found['rise'])}. Members win "
        f"more than half of the units of the last third of the layers in "
        f"{listed(found['share'])}. Neither shows in {listed(neither)} (5% level after "
        "Holm's correction over the trainings)."
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
    return " ".join(f"{claims[name]['text']} (`{name}`)" for name in names)


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
    values = ", ".join(
        equals(name, of[column])
        for name, column in (("p", "p"), ("Holm p", "holm"), ("q", "q"))
    )
    said = f"**{of['verdict'].capitalize()}** ({values})."
    if of["verdict"] == NOT_CONFIRMED and of["p"] <= LEVEL:
        said += " The p-value alone is below the level, but it is one of many claims."
    return said


def _one(row):
    """Describe the interval of a claim's only effect."""
    if pd.isna(row["value_low"]):
        return ["There are too few pairs for an interval."]
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
        said.append(f"The published metric's verdict is: {of['published']} ({q}).")
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
    controls = [
        (row["effect"], subject, of)
        for row in deciding
        for subject, of in row["subjects"].items()
        if subject != "trained"
    ]
    if not controls:
        return []
    found = [
        f"{SUBJECTS[subject]}, `{effect}` ({equals('p', of['value_p'])})"
        for effect, subject, of in controls
        if of["value_p"] <= LEVEL
    ]
    if not found:
        return ["On the controls no deciding effect differs from zero at the 5% level."]
    return [
        f"On the controls, {len(found)} of {len(controls)} deciding effects differ from "
        f"zero at the 5% level, before correction: {'; '.join(found)}."
    ]


def _found(of, name):
    """Return the sign of an effect that differs from zero after correction, else 0."""
    if not of[f"{name}_p_adjusted"] <= LEVEL:
        return 0
    return 1 if of[name] > 0 else -1


def _width(row):
    return row["value_high"] - row["value_low"]
