"""How often intervals cover the truth, and how often tests find what is not there.

    python -m tests.benchmarks.calibration [--repetitions 4000] [--workers 2]
        [--resamples 499] [--only PATTERN] [--resume]

Each case draws data sets whose truth is known by construction, once without an effect
and once with a planted effect, and passes them to an estimator. One row per case shows
how often the 95% interval contains the truth (with the effect, and without) and how
often p is at most 0.05 without the effect (type I error) and with it (power). Intervals
that an estimator does not provide (NaN) are left out of the coverage and counted in
``no_interval``; a p-value that is NaN does not reject.

A list of images at a false discovery rate of 5% (``q_values``) is shown as the interval
of one image: its coverage is one minus the false discovery rate, its type I error how
often a list is not empty although nothing is memorised, and its power the share of the
memorised images that are listed.

The estimators' default is 2000 resamples (999 for the member share). Here it is 499,
for speed: a test at 5% stays exact. Repetitions are computed 50 at a time, as the
columns of one call; these share the draws of the resampling, but no data.

To add an estimator, write a generator of ``Case`` and list it in ``STATISTICS``
(``simulation.py``).
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.benchmarks.calibration.case import Case
from tests.benchmarks.calibration.page import (
    HIGHEST_TYPE_1,
    LOWEST_COVERAGE,
    is_missed,
    page_with,
    tables,
)
from tests.benchmarks.calibration.simulation import all_cases, row_of

CSV = Path(__file__).parents[3] / "docs/results/calibration.csv"
PAGE = CSV.with_suffix(".md")


def show(rows: pd.DataFrame) -> None:
    """Print the table; what misses the limits is red."""
    shown = ("coverage", "coverage_null", "no_interval", "type_1", "power", "disagree")
    table = Table(title="Coverage of 95% intervals, errors of tests at 5%, in percent")
    table.box = box.ASCII
    for column in ("statistic", "scenario", "n", *shown):
        table.add_column(column, justify="right" if column in shown else "left")

    def cell(name: str, share: float, error: float | None) -> str:
        if np.isnan(share):
            return "-"
        text = f"{100 * share:.1f}"
        if error is not None:
            text += f" ± {100 * error:.1f}"
        return f"[red]*{text}[/red]" if is_missed(name, share) else text

    for row in rows.to_dict("records"):
        cells = (cell(name, row[name], row.get(f"{name}_error")) for name in shown)
        table.addrow_of(row["statistic"], row["scenario"], row["n"], *cells)
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    console.print(
        f"* coverage below {LOWEST_COVERAGE:.0%}, or type I error above "
        f"{HIGHEST_TYPE_1:.0%}; ±: Monte Carlo standard error"
    )


def main() -> None:
    """Simulate all cases, write the CSV file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--only", help="part of the names of cases to print, without writing the page"
    )
    parser.add_argument("--resamples", type=int, default=499)
    parser.add_argument(
        "--resume", action="store_true", help="keep the rows that the CSV file has"
    )
    options = parser.parse_args()
    cases = all_cases()
    only = options.only or ""
    chosen = [i for i, case in enumerate(cases) if only in case.name]
    if not chosen:
        parser.error(f"No case's name contains {options.only!r}.")
    rows = known_rows(cases) if options.resume else {}
    row = partial(
        row_of, repetitions=options.repetitions, n_resamples=options.resamples
    )
    with ProcessPoolExecutor(options.workers) as pool:
        running = {pool.submit(row, i): i for i in chosen if i not in rows}
        for done in track(as_completed(running), total=len(running)):
            rows[running[done]] = done.result()
            if options.only is None:
                write(pd.DataFrame([rows[i] for i in sorted(rows)]))
    show(pd.DataFrame([rows[i] for i in chosen]))


def known_rows(cases: list[Case]) -> dict[int, dict[str, Any]]:
    """The rows of the CSV file by the number of their case."""
    number = {
        (case.statistic, case.scenario, case.sizes): i for i, case in enumerate(cases)
    }
    table = pd.read_csv(CSV, dtype={"n": str}) if CSV.is_file() else pd.DataFrame()
    rows = (
        (number.get((r["statistic"], r["scenario"], r["n"])), r)
        for r in table.to_dict("records")
    )
    return {i: row for i, row in rows if i is not None}


def write(table: pd.DataFrame) -> None:
    """Write the CSV file and the tables of the page."""
    table.to_csv(CSV, index=False, float_format="%.4g")
    PAGE.write_text(page_with(PAGE.read_text(), "coverage", tables(table)))


if __name__ == "__main__":
    main()
