"""How large a report is, and how fast it opens.

Run with ``python tests/benchmarks/report.py``.
"""

import sys
import tempfile
import time
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightly_memloc.report import write_report
from tests.report.synthetic import Noise, layer_mem, unit_mem

N_UNITS, N_IMAGES = 10_000, 500
REPEATS = 5
LIMIT_SECONDS, LIMIT_MEGABYTES = 2, 15


def opened(browser, page_file: Path) -> float:
    """Seconds from navigation until the charts and the atlas are drawn."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(page_file.as_uri())
    page.wait_for_selector(".unit")
    page.wait_for_function("document.querySelectorAll('.chart svg').length === 4")
    seconds = time.perf_counter() - start
    page.close()
    return seconds


def main() -> None:
    """Write the page, open it several times, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        layer_mem(N_IMAGES).save(Path(folder) / "layer-mem")
        unit_mem(N_UNITS, N_IMAGES).save(Path(folder) / "unit-mem")
        page = write_report(folder, dataset=Noise(N_IMAGES))
        megabytes = page.stat().st_size / 1e6
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=which("chromium"), args=["--no-sandbox"]
            )
            opened(browser, page)
            times = sorted(opened(browser, page) for _ in range(REPEATS))
            browser.close()
    table = Table(
        title=f"A report of {N_UNITS:,} units and {N_IMAGES} thumbnails", box=box.ASCII
    )
    for header in ("", "measured", "limit"):
        table.add_column(header)
    table.add_row(
        "opens in, seconds (median)", f"{times[REPEATS // 2]:.2f}", f"{LIMIT_SECONDS}"
    )
    table.add_row("slowest", f"{times[-1]:.2f}", "")
    table.add_row("megabytes", f"{megabytes:.1f}", f"{LIMIT_MEGABYTES}")
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
