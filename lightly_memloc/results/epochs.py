"""UnitMem over the epochs of a training."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.plots import plot_unit_mem_epochs
from lightly_memloc.results.result import Result, load_result
from lightly_memloc.results.unit_mem import UnitMemResult


def plot_epochs(results: Sequence[Result]) -> Figure:
    """Plot the mean UnitMem of each layer over epochs.

    Args:
        results: What a callback measured; results other than of UnitMem are passed over.

    Raises:
        MemorizationError: If UnitMem was not measured.
    """
    tables = [
        result.layers_to_pandas().assign(epoch=result.settings["epoch"])
        for result in results
        if isinstance(result, UnitMemResult)
    ]
    if not tables:
        raise MemorizationError(
            "UnitMem was not measured in training: there is nothing to plot over epochs."
        )
    return plot_unit_mem_epochs(pd.concat(tables, ignore_index=True))


def load_epochs(folder: str | PathLike[str]) -> list[Result]:
    """Read what a callback wrote to its folder, epoch by epoch.

    Args:
        folder: The folder, which holds a folder ``epoch=<epoch>`` for each epoch.

    Returns:
        The results in the order of epochs; none if it holds no such folder.
    """
    saved = [path.parent for path in Path(folder).glob("epoch=*/**/result.json")]
    return sorted(map(load_result, sorted(saved)), key=lambda of: of.settings["epoch"])
