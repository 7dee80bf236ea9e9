"""Saving a result with its figures."""

from pathlib import Path

from lightly_memloc.results import Result


def save_with_figures(result: Result, folder: Path) -> None:
    """Save a result to a folder, with its figures as PNG files.

    Args:
        result: A result of any kind.
        folder: The folder, made if need be.
    """
    result.save(folder)
    for name, figure in result.figures().items():
        figure.savefig(folder / f"{name}.png", dpi=150)
