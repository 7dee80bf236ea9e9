"""Figures of the committed results, as pages show them.

``results/RESULT`` has its figures in ``figures/RESULT``.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from lightly_memloc import load_result
from lightly_memloc.report import to_svg

RESULTS = Path(__file__).parents[1] / "results"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the figures of each committed result."""
    for saved in sorted(RESULTS.rglob("result.json")):
        folder = saved.parent.relative_to(RESULTS)
        for name, figure in load_result(saved.parent).figures().items():
            path = f"figures/{folder.as_posix()}/{name}.svg"
            files.append(File.generated(config, path, content=to_svg(figure)))
    return files
