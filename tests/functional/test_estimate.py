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


def test_an_estimate_is_padded_field_by_field():
    padded = Estimate(VALUE, LOW, HIGH, P).padded(2)
    np.testing.assert_array_equal(padded.value, [np.nan, np.nan, 0.5, 0.1])
    np.testing.assert_array_equal(padded.p, [np.nan, np.nan, 0.01, 0.3])
    assert padded.error is None


def test_another_scale_moves_value_and_interval_but_not_p():
    mapped = Estimate(VALUE, LOW, HIGH, P).mapped(np.tanh)
    np.testing.assert_array_equal(mapped.high, np.tanh(HIGH))
    np.testing.assert_array_equal(mapped.value, np.tanh(VALUE))
    assert mapped.p is P


def test_an_unknown_estimate_has_the_fields_that_are_asked_for():
    unknown = Estimate.unknown(2, "p_adjusted")
    assert np.isnan(list(unknown)).all()
    assert list(unknown.columns("x")) == ["x", "x_low", "x_high", "x_p", "x_p_adjusted"]
