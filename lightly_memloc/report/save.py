"""Saving results with their figures."""

import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from lightly_memloc.results import Result, UnitMemResult, load_epochs, plot_epochs


def save_with_figures(result: Result, folder: Path) -> None:
    """Save a result to a folder, with its figures as PNG and SVG files.

    Args:
        result: A result of any kind.
        folder: The folder, made if need be.
    """
    result.save(folder)
    for name, figure in result.figures().items():
        _save_figure(figure, folder / name)


def save_epochs(run: Path) -> None:
    """Save what callbacks followed in a run's trainings as PNG and SVG files.

    Args:
        run: The run folder; each callback's folder gets ``unit_mem.png`` and ``.svg``,
            the mean UnitMem of each layer over epochs, if it measured UnitMem.
    """
    for folder in sorted(run.glob("training/*/*")):
        results = load_epochs(folder)
        if any(isinstance(result, UnitMemResult) for result in results):
            _save_figure(plot_epochs(results), folder / "unit_mem")


def to_svg(figure: Figure) -> str:
    """Draw a figure as SVG: the same figure gives the same text.

    Args:
        figure: The figure.
    """
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "lightly-memloc"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, dpi=150)
    return file.getvalue()


def _save_figure(figure: Figure, path: Path) -> None:
    figure.savefig(f"{path}.png", dpi=150)
    Path(f"{path}.svg").write_text(to_svg(figure), encoding="utf-8")
