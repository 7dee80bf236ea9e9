"""Figures of the committed results, as pages show them.

``results/RESULT`` has its figures in ``figures/RESULT``.
"""

import io
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from page_tables import RESULTS

from lightly_memloc import load_result


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the figures of each committed result."""
    for saved in sorted(RESULTS.rglob("result.json")):
        folder = saved.parent.relative_to(RESULTS)
        for name, figure in load_result(saved.parent).figures().items():
            path = f"figures/{folder.as_posix()}/{name}.svg"
            files.append(File.generated(config, path, content=_svg(figure)))
    return files


def _svg(figure: Any) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return drawn.getvalue()
