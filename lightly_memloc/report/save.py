"""Saving a result with its figures."""

import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from lightly_memloc.results import Result


def save_with_figures(result: Result, folder: Path) -> None:
    """Save a result to a folder, with its figures as PNG and SVG files.

    Args:
        result: A result of any kind.
        folder: The folder, made if need be.
    """
    result.save(folder)
    for name, figure in result.figures().items():
        figure.savefig(folder / f"{name}.png", dpi=150)
        (folder / f"{name}.svg").write_text(to_svg(figure), encoding="utf-8")


def to_svg(figure: Figure) -> str:
    """Draw a figure as SVG: the same figure gives the same text.

    Args:
        figure: The figure.
    """
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "lightly-memloc"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, dpi=150)
    return file.getvalue()
