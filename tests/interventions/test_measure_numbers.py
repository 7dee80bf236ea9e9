"""Numbers out of bounds are refused before anything is measured or trained."""

import pytest
import torch

from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions import (
    curate,
    measure_fine_tuning,
    measure_pruning,
    measure_unit_tuning,
    tune_unit,
)
from lightly_memloc.probes import fine_tune

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("number", [NAN, INFINITE, -0.1])
def test_learning_rates_of_fine_tuning(number):
    """What they are to act on is missing: the number is looked at first."""
    for refused in (
        lambda: fine_tune(None, None, learning_rate=number),
        lambda: measure_fine_tuning(None, None, None, learning_rate=number),
    ):
        with pytest.raises(MemorizationError, match="a finite number at least 0"):
            refused()


@pytest.mark.parametrize("number", [NAN, INFINITE, -0.1, 0])
def test_learning_rates_and_amounts(number):
    for refused in (
        lambda: tune_unit(None, "a", 0, None, None, 0, learning_rate=number),
        lambda: measure_unit_tuning(None, None, learning_rate=number),
        lambda: measure_pruning(None, None, None, amount=number),
    ):
        with pytest.raises(MemorizationError, match="a finite number above 0"):
            refused()


@pytest.mark.parametrize("number", [0, -1, 1.5, NAN, torch.tensor(1.5)])
def test_numbers_of_epochs_and_steps(number):
    for refused in (
        lambda: fine_tune(None, None, epochs=number),
        lambda: measure_fine_tuning(None, None, None, epochs=number),
        lambda: tune_unit(None, "a", 0, None, None, 0, steps=number),
        lambda: tune_unit(None, "a", 0, None, None, 0, n_views=number),
        lambda: measure_unit_tuning(None, None, n_units=number),
    ):
        with pytest.raises(MemorizationError, match="a whole number at least 1"):
            refused()


@pytest.mark.parametrize("fdr", [NAN, INFINITE, 0, 1, -0.1])
def test_false_discovery_rates(fdr):
    with pytest.raises(MemorizationError, match="between 0 and 1"):
        curate(None, fdr=fdr)
