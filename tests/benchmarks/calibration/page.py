"""The page "How the numbers were checked", from what calibration.py simulated."""

import pandas as pd

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
LOWEST_COVERAGE, HIGHEST_TYPE_1 = 0.93, 0.06
_COLUMNS = {
    "scenario": "scenario",
    "n": "images",
    "coverage": "coverage, effect",
    "coverage_null": "coverage, no effect",
    "type_1": "false positives",
    "power": "power",
    "disagree": "interval against p",
}


def is_missed(name: str, share: float) -> bool:
    """Whether a share is beyond the limits: too little coverage, too many errors."""
    if name.startswith("coverage"):
        return share < LOWEST_COVERAGE
    return name == "type_1" and share > HIGHEST_TYPE_1


def tables(rows: pd.DataFrame) -> str:
    """Make one table per statistic; shares are percent, those missed are bold."""
    return "\n".join(
        f"### {statistic}\n\n{_table(of)}"
        for statistic, of in rows.groupby("statistic", sort=False)
    )


def page_with(page: str, rows: pd.DataFrame) -> str:
    """Return a page with the tables of the rows between its markers."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables(rows)}\n{END}{after}"


def _table(rows: pd.DataFrame) -> str:
    shown = [name for name in _COLUMNS if not rows[name].isna().all()]
    lines = [[_COLUMNS[name] for name in shown], ["---"] * len(shown)]
    lines += [
        [_cell(name, row[name]) for name in shown] for row in rows.to_dict("records")
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    text = f"{100 * value:.1f}%"
    return f"**{text}**" if is_missed(name, value) else text
