from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from lightly_memloc.functional import Estimate

VALUE, LOW, HIGH, P = np.array([[0.5, 0.1], [0.4, 0.0], [0.6, 0.2], [0.01, 0.3]])


def test_columns_are_named_after_the_value_in_order():
    full = Estimate(VALUE, LOW, HIGH, P, P * 2, VALUE / 9, VALUE, VALUE, LOW, HIGH)
    columns = full.columns("gap")
    assert list(columns) == [
        *["gap", "gap_error", "gap_low", "gap_high", "gap_p", "gap_p_adjusted"],
        *["gap_null_low", "gap_null_high"],
    ]
    np.testing.assert_array_equal(columns["gap_p_adjusted"], [0.02, 0.6])


def test_columns_are_those_that_are_known():
    assert list(Estimate(VALUE, LOW, HIGH).columns("x")) == ["x", "x_low", "x_high"]


def test_columns_of_a_single_number_are_scalars():
    columns = Estimate(*map(np.asarray, (0.5, 0.4, 0.6, 0.01))).columns("gap")
    assert [type(value) for value in columns.values()] == [np.float64] * 4


def test_it_is_unpacked_into_what_is_known():
    value, low, high, p = Estimate(VALUE, LOW, HIGH, P)
    assert value.tolist() == [0.5, 0.1]
    assert (low < value).all()
    assert (value < high).all()
    assert p.tolist() == [0.01, 0.3]
    assert len(list(Estimate(VALUE, LOW, HIGH, n=VALUE))) == 4


def test_p_values_are_adjusted_in_a_copy():
    estimate = Estimate(VALUE, LOW, HIGH, P)
    adjusted = replace(estimate, p_adjusted=np.minimum(1, 2 * P))
    assert estimate.p_adjusted is None
    assert adjusted.p_adjusted.tolist() == [0.02, 0.6]
    with pytest.raises(FrozenInstanceError):
        estimate.p = P


def test_estimates_are_joined_field_by_field():
    joined = Estimate.joined([Estimate.unknown(1), Estimate(VALUE, LOW, HIGH, P)])
    np.testing.assert_array_equal(joined.value, [np.nan, 0.5, 0.1])
    np.testing.assert_array_equal(joined.p, [np.nan, 0.01, 0.3])
    assert joined.error is None
