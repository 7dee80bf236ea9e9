import copy
import hashlib
import io

import numpy as np
import pytest
import torch
from torch import nn

from lightly_memloc.runtime import weights_fingerprint


class Stateful(nn.Module):
    """A layer whose state has something that is no tensor."""

    def __init__(self, extra):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(4.0))
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


class Opaque:
    """Something whose representation differs from object to object."""


def test_it_is_a_sha256_of_what_the_weights_are():
    layer = nn.Linear(2, 1, bias=False)
    content = (
        b"mapping 1;'weight':tensor torch.float32 (1, 2);"
        + layer.weight.detach().numpy().tobytes()
    )
    assert weights_fingerprint(layer) == hashlib.sha256(content).hexdigest()


def test_wrappers_and_order_do_not_count():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    expected = weights_fingerprint(encoder)
    assert weights_fingerprint(copy.deepcopy(encoder)) == expected
    assert weights_fingerprint(nn.DataParallel(encoder)) == expected
    assert weights_fingerprint(torch.compile(encoder)) == expected
    weight = encoder[0].weight
    del encoder[0].weight
    encoder[0].weight = weight
    assert next(iter(encoder.state_dict())) == "0.bias"
    assert weights_fingerprint(encoder) == expected


def _nudge(encoder):
    encoder[0].weight.view(-1)[0] += 1e-6


def _count(encoder):
    encoder[1].num_batches_tracked += 1


def _half(encoder):
    encoder.half()


def _reshape(encoder):
    encoder[0].weight = nn.Parameter(encoder[0].weight.reshape(2, 2, 3, 3))


def _swap(encoder):
    encoder[1].weight, encoder[1].bias = encoder[1].bias, encoder[1].weight


def _rename(encoder):
    encoder.add_module("2", encoder[0])
    del encoder[0]


@pytest.mark.parametrize("change", [_nudge, _count, _half, _reshape, _swap, _rename])
def test_any_change_counts(change):
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    before = weights_fingerprint(encoder)
    with torch.no_grad():
        change(encoder)
    assert weights_fingerprint(encoder) != before


@pytest.mark.parametrize(
    ("extra", "other"),
    [
        ({"scale": torch.ones(2)}, {"scale": torch.zeros(2)}),
        ({"scale": np.ones(2)}, {"scale": np.zeros(2)}),
        ([1, 2.5, "a", None], [1, 2.5, "b", None]),
        (b"one", b"two"),
        (io.BytesIO(b"one"), io.BytesIO(b"two")),
        ((), {}),
        (True, 1),
        (None, Opaque()),
    ],
)
def test_extra_states_count(extra, other):
    fingerprint = weights_fingerprint(Stateful(extra))
    assert fingerprint == weights_fingerprint(Stateful(copy.deepcopy(extra)))
    assert fingerprint != weights_fingerprint(Stateful(other))


def test_objects_of_an_unknown_kind_do_not_fail():
    one, other = Stateful({"a": Opaque()}), Stateful({"a": Opaque()})
    assert weights_fingerprint(one) == weights_fingerprint(other)
    objects = Stateful(np.array([Opaque()]))
    assert weights_fingerprint(objects) == weights_fingerprint(objects)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.bool),
        torch.ones(2, dtype=torch.complex64),
        torch.tensor(1.0),
        torch.empty(0),
        torch.eye(2).to_sparse(),
        torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        torch.empty(2, device="meta"),
    ],
)
def test_every_kind_of_tensor(tensor):
    module = nn.Module()
    module.register_buffer("buffer", tensor)
    assert weights_fingerprint(module) == weights_fingerprint(module)
    assert weights_fingerprint(module) != weights_fingerprint(nn.Module())


def test_an_encoder_whose_weights_are_not_initialized_yet():
    assert weights_fingerprint(nn.LazyLinear(2)) == weights_fingerprint(
        nn.LazyLinear(2)
    )
