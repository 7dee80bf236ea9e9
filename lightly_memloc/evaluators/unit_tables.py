"""Tables of a unit metric: a row a unit, and a row a layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from lightly_memloc.layers import CapturedLayer


def unit_table(layers: Sequence[CapturedLayer], **columns: Tensor) -> pd.DataFrame:
    """A row a unit.

    Args:
        layers: The layers.
        columns: Values of shape ``(U,)``, the units of all layers side by side.
    """
    sizes = [layer.num_units for layer in layers]
    table = pd.DataFrame(
        {
            "layer": np.repeat([layer.name for layer in layers], sizes),
            "unit": np.concatenate([np.arange(size) for size in sizes]),
        }
    )
    for name, values in columns.items():
        table[name] = values.cpu().numpy()
    return table


def layer_table(
    layers: Sequence[CapturedLayer], units: pd.DataFrame, metric: str, **columns: Any
) -> pd.DataFrame:
    """A row a layer: its units, the dead ones, mean and median over live ones.

    Args:
        layers: The layers.
        units: Their units.
        metric: The column of units to average.
        columns: More columns, with an entry for each layer.
    """
    by_layer = units.groupby("layer", sort=False)
    alive = units[metric].mask(units["dead"]).groupby(units["layer"], sort=False)
    table = pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "kind": [layer.kind for layer in layers],
            "units": by_layer.size().to_numpy(),
            "dead": by_layer["dead"].sum().to_numpy(),
            "mean": alive.mean().to_numpy(),
            "median": alive.median().to_numpy(),
        }
    )
    return table.assign(**columns)
