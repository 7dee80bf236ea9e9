"""Saving a result with its figures."""

from pathlib import Path

from matplotlib import rc_context

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
        # The same figure gives the same file.
        with rc_context({"svg.hashsalt": "lightly-memloc"}):
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, dpi=150)
