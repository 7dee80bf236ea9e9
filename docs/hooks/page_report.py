"""Add the report of the committed demo to the site."""

import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from page_figures import RESULTS

from lightly_memloc.report import write_report


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the report."""
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(RESULTS / "demo", Path(folder) / "report.html")
        content = page.read_text(encoding="utf-8")
    files.append(File.generated(config, "demo/report.html", content=content))
    return files
