import warnings

import pytest
import torch
from torch import nn

from lightly_memloc.errors import MemorizationWarning
from lightly_memloc.layers import shared_weights, weights_of


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()


def tied():
    model = plain()
    model[4].weight = model[2].weight
    return model


def of_one_tensor():
    """Both weights are views of one tensor, in part the same."""
    model, memory = plain(), torch.randn(6, 4, 3, 3)
    model[2].weight = nn.Parameter(memory[:4])
    model[4].weight = nn.Parameter(memory[2:])
    return model


def side_by_side():
    """Both weights are parts of one tensor that do not overlap."""
    model, memory = plain(), torch.randn(8, 4, 3, 3)
    model[2].weight = nn.Parameter(memory[:4])
    model[4].weight = nn.Parameter(memory[4:])
    return model


def shared_buffer():
    model = plain()
    model[1], model[3] = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    model[3].running_mean = model[1].running_mean
    return model


class WithTwoNames(nn.Sequential):
    def __init__(self, *steps):
        super().__init__(*steps)
        self.again = self[2]

    def forward(self, x):
        for step in list(self)[:-1]:
            x = step(x)
        return x


def with_two_names():
    return WithTwoNames(*plain()).eval()


BOTH = {"2.weight": {"4.weight"}, "4.weight": {"2.weight"}}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (plain, {}),
        (tied, BOTH),
        (of_one_tensor, BOTH),
        (side_by_side, {}),
        (
            shared_buffer,
            {
                "1.running_mean": {"3.running_mean"},
                "3.running_mean": {"1.running_mean"},
            },
        ),
        (
            with_two_names,
            {
                "2.weight": {"again.weight"},
                "2.bias": {"again.bias"},
                "again.weight": {"2.weight"},
                "again.bias": {"2.bias"},
            },
        ),
    ],
)
def test_names_of_the_same_memory(make, expected):
    assert shared_weights(make()) == expected


def test_weights_without_memory():
    assert shared_weights(plain().to("meta")) == {}


def test_three_users():
    model = tied()
    model[0] = nn.Conv2d(4, 4, 3, padding=1)
    model[0].weight = model[2].weight
    assert shared_weights(model)["0.weight"] == {"2.weight", "4.weight"}


@pytest.mark.parametrize("make", [tied, of_one_tensor])
def test_the_weights_of_a_layer_are_those_of_all_who_share_them(make):
    images = torch.rand(2, 3, 8, 8)
    with pytest.warns(MemorizationWarning, match=r"weights of 4 are also .* 2\.weight"):
        chosen = weights_of(make(), "4", images)
    assert chosen == ["2.weight", "4.weight", "4.bias"]


def test_a_module_of_two_names_is_selected_without_a_word():
    images = torch.rand(2, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = weights_of(with_two_names(), "2", images)
    assert {"2.weight", "again.weight"} <= set(chosen)


def test_the_whole_model_shares_nothing_with_others():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(weights_of(tied(), "auto", torch.rand(2, 3, 8, 8))) == 6
