from dataclasses import FrozenInstanceError, fields
from typing import get_type_hints

import pytest
import torch

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import PassArguments, PassOptions


def test_defaults():
    assert PassOptions() == PassOptions(
        batch_size=64,
        num_workers=0,
        device="auto",
        precision="32-true",
        skip_unreadable=False,
        state_file=None,
    )


def test_the_keyword_arguments_are_those_of_the_options():
    assert set(get_type_hints(PassArguments)) == {
        field.name for field in fields(PassOptions)
    }


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": 0}, "batch_size to be a whole number at least 1, got 0"),
        ({"batch_size": -3}, "batch_size to be a whole number at least 1, got -3"),
        ({"batch_size": 2.5}, "batch_size to be a whole number at least 1, got 2.5"),
        ({"num_workers": -1}, "num_workers to be a whole number at least 0, got -1"),
        ({"precision": "16"}, "32-true, 16-mixed, bf16-mixed, got '16'"),
    ],
)
def test_values_without_a_meaning_are_refused(option, message):
    with pytest.raises(MemorizationError, match=message):
        PassOptions(**option)


def test_the_smallest_values_are_accepted():
    options = PassOptions(batch_size=1, num_workers=0)
    assert (options.batch_size, options.num_workers) == (1, 0)


def test_options_are_frozen_and_keywords():
    with pytest.raises(FrozenInstanceError):
        PassOptions().batch_size = 3
    with pytest.raises(TypeError):
        PassOptions(3)


def test_settings_contain_what_can_be_repeated_elsewhere():
    options = PassOptions(
        batch_size=3, num_workers=1, device="cpu", skip_unreadable=True, state_file="x"
    )
    assert options.settings() == {
        "batch_size": 3,
        "num_workers": 1,
        "precision": "32-true",
        "skip_unreadable": True,
    }


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("16-mixed", torch.float16),
        ("bf16-mixed", torch.bfloat16),
    ],
)
def test_autocast(precision, dtype):
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with PassOptions(precision=precision).autocast(torch.device("cpu")):
        assert layer(x).dtype == dtype
    assert layer(x).dtype == torch.float32


def test_weights_in_double_precision_stay_so():
    layer = torch.nn.Linear(2, 2).double()
    with PassOptions().autocast(torch.device("cpu")):
        assert layer(torch.ones(1, 2).double()).dtype == torch.float64
