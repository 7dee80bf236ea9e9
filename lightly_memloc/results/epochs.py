"""UnitMem over the epochs of a training."""

from collections.abc import Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.result import Result, load_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_epochs(
    results: Sequence[Result], ax: "Axes | None" = None
) -> "tuple[Figure, Axes]":
    """Plot the mean UnitMem of each layer over epochs.

    Args:
        results: What a callback measured; results other than UnitMem are ignored.
        ax: The matplotlib axes to draw on; by default those of a new figure.

    Returns:
        The figure and its axes.

    Raises:
        MemorizationError: If UnitMem was not measured, or epochs differ in the numbers
            of images or views or in the rectification.
    """
    # By name: results are measured and read without what draws them.
    drawn_by = import_module("lightly_memloc.report.unit_mem")
    drawn: tuple[Figure, Axes] = drawn_by.plot_epochs(results, ax)
    return drawn


def load_epochs(folder: str | PathLike[str]) -> list[Result]:
    """Read what a callback wrote to its folder, epoch by epoch.

    Args:
        folder: The folder, with one folder ``epoch=<epoch>`` per epoch.

    Returns:
        The results in the order of epochs; empty if there is no such folder.

    Raises:
        MemorizationError: If a result cannot be read or does not say its epoch.
    """
    saved = sorted(path.parent for path in Path(folder).glob("epoch=*/**/result.json"))
    results = [load_result(path) for path in saved]
    for path, result in zip(saved, results, strict=True):
        if not isinstance(result.settings.get("epoch"), int):
            raise MemorizationError(
                f"{path} does not say of which epoch it is (the setting 'epoch'): the "
                "file was changed."
            )
    return sorted(results, key=lambda of: of.settings["epoch"])
