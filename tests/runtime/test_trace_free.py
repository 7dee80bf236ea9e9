import gc
import multiprocessing
import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from lightly_memloc import (
    MemorizationError,
    measure_class_mem,
    measure_layer_mem,
    measure_unit_mem,
)
from lightly_memloc.runtime.trace_free import leave_no_trace


class Counting(torch.nn.Module):
    """An encoder whose forward pass changes a buffer."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return self.encoder(x)


def snapshot(model):
    numpy_state = np.random.get_state()
    return {
        "modes": [module.training for module in model.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks))
            for module in model.modules()
        ],
        "weights": [value.clone() for value in model.state_dict().values()],
        "identity": [id(value) for value in model.parameters()],
        "gradients": [p.requires_grad for p in model.parameters()],
        "recording": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "torch": torch.get_rng_state(),
        "numpy": (numpy_state[1].copy(), numpy_state[2:]),
        "random": random.getstate(),
    }


def assert_unchanged(before, after):
    assert all(map(torch.equal, before.pop("weights"), after.pop("weights")))
    assert torch.equal(before.pop("torch"), after.pop("torch"))
    keys, rest = before.pop("numpy")
    assert np.array_equal(keys, after["numpy"][0])
    assert rest == after.pop("numpy")[1]
    assert before == after


@pytest.fixture
def model(encoders):
    model = Counting(encoders[0]).train()
    model.encoder.layer1.eval()
    model.encoder.prep.conv.weight.requires_grad_(False)
    return model


@pytest.fixture(params=["layer_mem", "unit_mem", "class_mem"])
def measurement(request, model, encoders, digits, small_split, transform):
    def layer_mem():
        g = Counting(encoders[1])
        measure_layer_mem(model, g, digits, small_split, transform, n_views=2)

    def unit_mem():
        measure_unit_mem(
            model, digits, transform, range(9), range(9, 14), n_views=2, num_workers=1
        )

    def class_mem():
        measure_class_mem(model, digits, transform, range(9), n_views=2)

    return {"layer_mem": layer_mem, "unit_mem": unit_mem, "class_mem": class_mem}[
        request.param
    ]


def test_a_measurement_leaves_no_trace(model, measurement):
    before = snapshot(model)
    measurement()
    assert_unchanged(before, snapshot(model))


class Moved(Counting):
    """An encoder that is moved as to a device: buffers are other tensors then."""

    def to(self, *_, **__):
        return self._apply(torch.clone)


@pytest.mark.parametrize("fails", [False, True])
def test_buffers_are_restored_after_a_move(encoders, fails):
    model = Moved(encoders[0])
    buffers = [(id(of), of.clone()) for of in model.buffers()]
    parameters = [id(of) for of in model.parameters()]
    with (
        pytest.raises(RuntimeError) if fails else nullcontext(),
        leave_no_trace([model], torch.device("cpu")),
    ):
        model(torch.rand(2, 3, 16, 16))
        assert model.calls == 1
        if fails:
            raise RuntimeError
    for (identity, before), buffer in zip(buffers, model.buffers(), strict=True):
        assert id(buffer) == identity
        assert torch.equal(buffer, before)
    assert [id(of) for of in model.parameters()] == parameters


def test_a_failed_measurement_leaves_no_trace(model, measurement, monkeypatch):
    def fail(self, x):
        np.random.rand()
        torch.rand(1)
        raise RuntimeError("no forward")

    before = snapshot(model)
    monkeypatch.setattr(Counting, "forward", fail)
    with pytest.raises(MemorizationError, match="RuntimeError: no forward"):
        measurement()
    assert_unchanged(before, snapshot(model))


def test_a_failed_measurement_leaves_no_process(
    encoders, digits, transform, monkeypatch
):
    monkeypatch.setattr(type(encoders[0]), "forward", None)
    gc.disable()
    try:
        with pytest.raises(MemorizationError):
            measure_unit_mem(encoders[0], digits, transform, range(9), num_workers=1)
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()
