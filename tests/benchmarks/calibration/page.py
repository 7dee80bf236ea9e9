"""Tables of the page "How the numbers were checked"."""

import pandas as pd

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


def page_with(page: str, name: str, text: str) -> str:
    """Return a page with a text between the two comments of a name."""
    before, _, after = page.split(f"<!-- {name} -->")
    return f"<!-- {name} -->".join([before, f"\n\n{text}\n", after])


def markdown(table: pd.DataFrame) -> str:
    """Make a table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.to_numpy()]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def _table(rows: pd.DataFrame) -> str:
    shown = [name for name in _COLUMNS if not rows[name].isna().all()]
    cells = {
        _COLUMNS[name]: [_cell(name, value) for value in rows[name]] for name in shown
    }
    return markdown(pd.DataFrame(cells))


def _cell(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    text = f"{100 * value:.1f}%"
    return f"**{text}**" if is_missed(name, value) else text
