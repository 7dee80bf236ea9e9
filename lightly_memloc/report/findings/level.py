"""When a number counts as found."""

import pandas as pd

# Stricter than 0.05, since every layer is tested.
LEVEL = 0.01


def found_above(layers: pd.DataFrame, name: str, chance: float = 0.0) -> pd.DataFrame:
    """Return the layers in which an estimate is above chance, at the level.

    Args:
        layers: A row a layer.
        name: The estimate's column, with its p-value in ``_p``.
        chance: The estimate where there is nothing.
    """
    return layers[(layers[f"{name}_p"] < LEVEL) & (layers[name] > chance)]


def largest(layers: pd.DataFrame, name: str) -> "pd.Series[float]":
    """Return the row of the largest estimate, the last of equal ones."""
    return layers.sort_values(name, kind="stable").iloc[-1]
