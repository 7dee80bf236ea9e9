import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions import (
    ranked_layers,
    select_units,
)
from lightly_memloc.results import LayerMemResult, UnitMemResult

UNITS = pd.DataFrame(
    {
        "layer": ["a"] * 4 + ["b"] * 6,
        "unit": [0, 1, 2, 3, 0, 1, 2, 3, 4, 5],
        "unit_mem": [0.9, 0.1, 0.5, 0.0, 0.8, 0.7, 0.2, 0.3, 0.6, 0.4],
        "dead": [False] * 3 + [True] + [False] * 6,
    }
)


@pytest.fixture
def unit_mem():
    return UnitMemResult({}, {"units": UNITS})


@pytest.mark.parametrize(
    ("strategy", "amount", "per_layer", "expected"),
    [
        ("highest", 1, True, {"a": [0], "b": [0]}),
        ("lowest", 2, True, {"a": [1, 2], "b": [2, 3]}),
        ("highest", 0.5, True, {"a": [0, 2], "b": [0, 1, 4]}),
        ("highest", 4, False, {"a": [0], "b": [0, 1, 4]}),
        ("lowest", 1 / 3, False, {"a": [1], "b": [2, 3]}),
        ("highest", 3, True, {"a": [0, 1, 2], "b": [0, 1, 4]}),
        ("lowest", 9, False, {"a": [0, 1, 2], "b": [0, 1, 2, 3, 4, 5]}),
        # 0.3 of 3 units is 0.9, of 6 is 1.8.
        ("highest", 0.3, True, {"a": [0], "b": [0, 1]}),
    ],
)
def test_units_by_their_unit_mem(unit_mem, strategy, amount, per_layer, expected):
    found = select_units(
        unit_mem, strategy=strategy, amount=amount, per_layer=per_layer
    )
    assert found == expected


def test_a_tenth_of_the_units_of_each_layer_is_selected_by_default():
    """Layer a has 20 units, each with a higher UnitMem than the 10 units of layer b."""
    units = pd.DataFrame(
        {
            "layer": ["a"] * 20 + ["b"] * 10,
            "unit": [*range(20), *range(10)],
            "unit_mem": np.linspace(1, 0, 30),
            "dead": False,
        }
    )
    result = UnitMemResult({}, {"units": units})
    assert select_units(result, strategy="highest") == {"a": [0, 1], "b": [0]}
    default, zero, one = (
        select_units(result, strategy="random", amount=5, **seed)
        for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert default == zero != one


def test_random_units_are_live_and_follow_the_seed(unit_mem):
    counts = np.zeros(3)
    for seed in range(600):
        chosen = select_units(unit_mem, "random", 1, seed=seed)
        assert chosen == select_units(unit_mem, "random", 1, seed=seed)
        counts[chosen["a"][0]] += 1
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("amount", [0, -1, 4, 40])
def test_impossible_amounts(unit_mem, amount):
    with pytest.raises(MemorizationError, match="of the 3 live units of layer a"):
        select_units(unit_mem, "highest", amount)


def test_an_unknown_strategy(unit_mem):
    with pytest.raises(MemorizationError, match="Unknown strategy 'best'"):
        select_units(unit_mem, "best")


def layer_mem(**columns):
    return LayerMemResult(
        {}, {"layers": pd.DataFrame({"layer": list("abc")} | columns)}
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Steps: 0.02, -0.01, 0.04.
        ([0.02, 0.01, 0.05], ["c", "a", "b"]),
        # Steps: 0.05, 0.01, -0.03; the layer with the largest value is second.
        ([0.05, 0.06, 0.03], ["a", "b", "c"]),
    ],
)
@pytest.mark.parametrize("name", ["calibrated", "symmetric"])
def test_layers_by_what_they_add(name, values, expected):
    columns = {"calibrated": [np.nan] * 3, "symmetric": [np.nan] * 3} | {name: values}
    assert ranked_layers(layer_mem(**columns)) == expected


def test_layers_are_ranked_by_calibrated_layer_mem_where_all_have_it():
    symmetric = [0.01, 0.03, 0.08]
    calibrated = [0.05, 0.06, 0.03]
    both = layer_mem(calibrated=calibrated, symmetric=symmetric)
    assert ranked_layers(both) == ["a", "b", "c"]
    partly = layer_mem(calibrated=[0.05, np.nan, 0.03], symmetric=symmetric)
    assert ranked_layers(partly) == ["c", "b", "a"]


@pytest.mark.parametrize("symmetric", [[np.nan] * 3, [0.1, np.nan, 0.2]])
def test_layers_without_an_estimate_are_not_ranked(symmetric):
    with pytest.raises(MemorizationError, match="needs a reference encoder"):
        ranked_layers(layer_mem(calibrated=[np.nan] * 3, symmetric=symmetric))
