import math
import statistics

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import student_mean

NAN = math.nan


@pytest.mark.parametrize("n_values", [3, 4, 9, 30])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_interval_and_p_value_are_students_t(n_values, confidence):
    values = np.random.default_rng(n_values).normal(0.3, 1, size=(n_values, 2, 5))
    found = student_mean(values, confidence)
    test = stats.ttest_1samp(values, 0, axis=0)
    interval = test.confidence_interval(confidence)
    np.testing.assert_allclose(found.value, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.error, stats.sem(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.low, interval.low, rtol=1e-9)
    np.testing.assert_allclose(found.high, interval.high, rtol=1e-9)
    np.testing.assert_allclose(found.p, test.pvalue, rtol=1e-9)
    assert found.n.tolist() == [[n_values] * 5] * 2


def test_p_values_far_in_the_tail():
    values = np.random.default_rng(0).normal(1, 1e-4, size=12)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert 0 < expected < 1e-40
    assert student_mean(values).p == pytest.approx(expected, rel=1e-6, abs=0)


def test_values_that_are_missing_do_not_count():
    rng = np.random.default_rng(4)
    values = rng.normal(0.5, 1, size=(6, 7))
    for column in range(7):
        values[rng.permutation(6)[:column], column] = NAN
    found = student_mean(values)
    assert found.n.tolist() == [6, 5, 4, 3, 2, 1, 0]
    for column in range(7):
        x = values[:, column][~np.isnan(values[:, column])].tolist()
        at = {name: float(field[column]) for name, field in found._asdict().items()}
        if len(x) > 2:
            test = stats.ttest_1samp(x, 0)
            low, high = test.confidence_interval()
            expected = statistics.fmean(x), low, high, test.pvalue
            shown = at["value"], at["low"], at["high"], at["p"]
            assert shown == pytest.approx(expected, rel=1e-9)
        else:
            assert all(math.isnan(at[name]) for name in ("low", "high", "p"))
        if len(x) > 1:
            error = statistics.stdev(x) / math.sqrt(len(x))
            assert at["error"] == pytest.approx(error, rel=1e-12)
        else:
            assert math.isnan(at["error"])
    assert found.value[4] == pytest.approx(np.nanmean(values[:, 4]))
    assert found.value[5] == np.nanmax(values[:, 5])
    assert np.isnan(found.value[6])


def test_two_values_have_an_error_but_no_interval():
    found = student_mean([0.1, 0.5])
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx(0.2)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_values_that_agree_exactly():
    found = student_mean([[0.25, 0.0]] * 4)
    assert found.value.tolist() == found.low.tolist() == found.high.tolist()
    assert found.error.tolist() == [0, 0]
    assert found.p.tolist() == [0, 1]
