"""Averages of a unit metric over a layer."""

from typing import Any

import pandas as pd

from lightly_memloc.layers import CapturedLayer


def layer_average(
    layer: CapturedLayer, values: "pd.Series[float]", dead: "pd.Series[bool]"
) -> dict[str, Any]:
    """A row of a layer: its units, the dead ones, mean and median over live ones."""
    alive = values[~dead]
    return {
        "layer": layer.name,
        "kind": layer.kind,
        "units": len(values),
        "dead": int(dead.sum()),
        "mean": float(alive.mean()),
        "median": float(alive.median()),
    }
