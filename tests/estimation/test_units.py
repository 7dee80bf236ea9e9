from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from lightly_memloc.estimation import (
    holdout_estimates,
    layer_table,
    top_images_table,
    unit_mem_tables,
    unit_table,
    winner_agreement,
)


class Layer(NamedTuple):
    name: str
    kind: str
    num_units: int


LAYERS = [Layer("one", "conv", 3), Layer("two", "linear", 2)]
VALUES = {
    "unit_mem": np.array([0.5, 0.25, 0.0, 0.75, 0.25]),
    "mu_max": np.array([3.0, 5.0, 0.0, 7.0, 5.0]),
    "mu_rest": np.array([1.0, 3.0, 0.0, 1.0, 3.0]),
    "dead": np.array([False, False, True, False, False]),
    "null": np.array([0.2, 0.4, 0.9, np.nan, 0.1]),
}
WINNERS = [(4, "d.png"), (2, "b.png"), (4, "d.png"), (1, "a.png"), (2, "b.png")]


def test_units_of_all_layers_side_by_side():
    table = unit_table(LAYERS, value=np.arange(5))
    assert table.to_dict("list") == {
        "layer": ["one"] * 3 + ["two"] * 2,
        "unit": [0, 1, 2, 0, 1],
        "value": [0, 1, 2, 3, 4],
    }


def test_layers_average_their_live_units():
    units = unit_table(LAYERS, value=VALUES["unit_mem"], dead=VALUES["dead"])
    table = layer_table(LAYERS, units, "value", more=[8, 9])
    assert table.to_dict("list") == {
        "layer": ["one", "two"],
        "kind": ["conv", "linear"],
        "units": [3, 2],
        "dead": [1, 0],
        "mean": [0.375, 0.5],
        "median": [0.375, 0.5],
        "more": [8, 9],
    }


def test_tables_without_a_holdout_have_its_columns_empty():
    tables = unit_mem_tables(LAYERS, VALUES, WINNERS, [True, False])
    assert tables["units"].columns.tolist() == [
        *["layer", "unit", "unit_mem", "mu_max", "mu_rest"],
        *["index", "filename", "dead", "agreement", "weak"],
    ]
    assert tables["units"]["filename"].tolist() == [name for _, name in WINNERS]
    endings = ["", "_low", "_high", "_p", "_p_adjusted", "_null_low", "_null_high"]
    against = [f"member_share{ending}" for ending in endings]
    against += [f"gap{ending}" for ending in endings[:5]]
    assert tables["layers"].columns.tolist() == [
        *["layer", "kind", "units", "dead", "mean", "median"],
        *["null", "agreement", "weak"],
        *against,
        "rectified",
    ]
    assert tables["layers"][against].isna().all(axis=None)
    assert tables["layers"]["rectified"].tolist() == [True, False]


def test_null_agreement_and_weak_units_of_each_layer():
    """Unit 2 is dead: its null and its agreement do not count."""
    values = VALUES | {
        "mu_max": np.array([3.0, 5.0, 0.0, 7.0, 0.03]),
        "agreement": np.array([1.0, 0.0, np.nan, 1.0, 1.0]),
    }
    tables = unit_mem_tables(LAYERS, values, WINNERS, [True, False])
    # The medians of mu_max are 4 and 3.515.
    assert tables["units"]["weak"].tolist() == [False, False, False, False, True]
    layers = tables["layers"]
    assert layers["null"].tolist() == pytest.approx([0.3, 0.1])
    assert layers["agreement"].tolist() == [0.5, 1.0]
    assert layers["weak"].tolist() == [0, 1]


def test_winners_agree_if_they_are_the_same_over_both_halves():
    top = {
        "image": np.array([[4, 2, 7, 1, 5, 2, 7, 1]]),
        "activation": np.array([[1.0, 3.0, 0.0, 0.0, 2.0, 1.0, 1.0, 0.0]]),
    }
    agreement = winner_agreement(top, np.array([False, False, False, True]))
    np.testing.assert_array_equal(agreement, [0, 1, 0, np.nan])


@pytest.fixture
def counts():
    """Two members and two others, each a group of its own, and three units."""
    mu = np.array([[9.0, 1.0, 4.0], [1.0, 2.0, 1.0], [1.0, 5.0, 1.0], [1.0, 2.0, 2.0]])
    by_role = mu.reshape(2, 2, 3)
    return {
        "member": np.array([True, True, False, False]),
        "wins": np.array([[1, 1], [0, 0], [1, 0], [0, 0]]),
        "largest": by_role,
        "total": by_role,
        "count": np.ones((2, 2)),
    }


def test_member_share_and_gap_of_each_layer(counts):
    """Units 0 and 1 are the first layer's, unit 2 is the second's."""
    estimates = holdout_estimates(counts, [2, 1], seed=0)
    assert estimates.member_share.value.tolist() == [0.5, 1.0]
    members = np.array([8 / 10, 1 / 3]), np.array([3 / 5])
    others = np.array([0, 3 / 7]), np.array([1 / 3])
    expected = [(m - o).mean() for m, o in zip(members, others, strict=True)]
    np.testing.assert_allclose(estimates.gap.value, expected, rtol=1e-12)
    tables = unit_mem_tables(LAYERS, VALUES, WINNERS, [True, False], estimates)
    assert tables["layers"]["member_share"].tolist() == [0.5, 1.0]
    assert tables["layers"]["gap"].tolist() == pytest.approx(expected)


def test_a_reference_averages_over_encoders_with_exchanged_roles(counts):
    """Exchanged roles of the same encoder are the encoder itself."""
    own = holdout_estimates(counts, [2, 1], seed=0)
    exchanged = {
        "wins": counts["wins"][[2, 3, 0, 1]],
        "largest": counts["largest"][::-1],
        "total": counts["total"][::-1],
    }
    pair = holdout_estimates(counts, [2, 1], seed=0, reference=exchanged)
    np.testing.assert_allclose(pair.member_share.value, own.member_share.value)
    np.testing.assert_allclose(pair.gap.value, own.gap.value)
    tables = unit_mem_tables(LAYERS, VALUES, WINNERS, [True, False], pair, own)
    endings = ["", "_low", "_high", "_p", "_p_adjusted"]
    for name in ("member_share", "gap"):
        assert {f"{name}_f{ending}" for ending in endings} <= set(tables["layers"])


def test_images_of_live_units_by_rank():
    units = unit_mem_tables(LAYERS, VALUES, WINNERS, [True, False])["units"]
    top = {
        "image": np.array([[4, 2, 0, 1, 2], [1, 1, 1, 4, 4]]),
        "activation": np.array([[3.0, 5.0, 0.0, 7.0, 5.0], [2.0, 4.0, 0.0, 6.0, 1.0]]),
    }
    expected = pd.DataFrame(
        [
            ["one", 0, 1, 4, 3.0],
            ["one", 0, 2, 1, 2.0],
            ["one", 1, 1, 2, 5.0],
            ["one", 1, 2, 1, 4.0],
            ["two", 0, 1, 1, 7.0],
            ["two", 0, 2, 4, 6.0],
            ["two", 1, 1, 2, 5.0],
            ["two", 1, 2, 4, 1.0],
        ],
        columns=["layer", "unit", "rank", "index", "mu"],
    )
    pd.testing.assert_frame_equal(top_images_table(units, top), expected)
