import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import copy_encoder


class Keeper(nn.Module):
    """Keeps what it computed, in several ways."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.attention = {}

    def forward(self, x):
        self.kept = self.conv(x)
        self.several = [self.kept.relu(), (self.kept * 2, "text")]
        self.attention["last"] = self.kept.softmax(1)
        return self.kept.mean((2, 3))


def pruned():
    model = Keeper()
    prune.l1_unstructured(model.conv, "weight", 3)
    return model


def weight_normed():
    model = Keeper()
    model.conv = nn.utils.weight_norm(model.conv)
    return model


def spectral_normed():
    model = Keeper()
    model.conv = nn.utils.spectral_norm(model.conv)
    return model


def parametrized():
    model = Keeper()
    nn.utils.parametrizations.weight_norm(model.conv)
    return model


KINDS = [
    Keeper,
    pruned,
    pytest.param(
        weight_normed, marks=pytest.mark.filterwarnings("ignore::FutureWarning")
    ),
    spectral_normed,
    parametrized,
]


@pytest.mark.parametrize("make", KINDS)
def test_a_copy_computes_the_same_and_shares_nothing(make):
    model, images = make(), torch.rand(2, 3, 8, 8)
    model(images).sum().backward()
    model.eval()
    copied = copy_encoder(model)
    assert torch.equal(copied(images), model(images))
    before = {name: of.clone() for name, of in model.state_dict().items()}
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter += 1
    assert not torch.equal(copied(images), model(images))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_what_was_kept_is_kept_detached():
    model = Keeper()
    model(torch.rand(2, 3, 8, 8))
    copied = copy_encoder(model)
    for here, there in (
        (copied.kept, model.kept),
        (copied.several[1][0], model.several[1][0]),
        (copied.attention["last"], model.attention["last"]),
    ):
        assert torch.equal(here, there)
        assert here.data_ptr() != there.data_ptr()
        assert here.grad_fn is None
    # The model itself is as it was.
    assert model.kept.grad_fn is not None


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    copied = copy_encoder(model)
    assert copied[1].weight is copied[0].weight


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x):
        return x


class Hidden:
    def __init__(self, tensor):
        self.tensor = tensor


class Obscure(nn.Module):
    def forward(self, x):
        self.state = Hidden(x * nn.Parameter(torch.ones(1)))
        return x


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("make", "name"), [(Locked, "lock"), (Obscure, "state")])
def test_what_cannot_be_copied_is_named(make, name, inside):
    model = nn.Sequential(nn.Identity(), make()) if inside else make()
    model(torch.rand(2))
    place = f"1.{name}" if inside else name
    with pytest.raises(MemorizationError, match=f"since {place} cannot"):
        copy_encoder(model)
