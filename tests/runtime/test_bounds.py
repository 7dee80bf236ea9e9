import numpy as np
import pytest

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import refuse_outside


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int64(3), 1e300])
def test_numbers_within_bounds(value):
    refuse_outside("rate", value, above=0)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", None, True])
def test_all_else_is_refused(value):
    with pytest.raises(MemorizationError, match="a finite number above 0") as refused:
        refuse_outside("rate", value, above=0)
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("value", [2, np.int32(4), 5])
def test_whole_numbers(value):
    refuse_outside("steps", value, at_least=2, at_most=5, whole=True)


@pytest.mark.parametrize("value", [1, 6, 2.0, 2.5, np.float64(3)])
def test_whole_numbers_are_asked_for(value):
    match = "steps to be a whole number at least 2 and at most 5"
    with pytest.raises(MemorizationError, match=match):
        refuse_outside("steps", value, at_least=2, at_most=5, whole=True)
