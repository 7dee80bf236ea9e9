import pytest
import torch
from torch import nn

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.runtime import lacks_bfloat16, resolve_device, trainer_device
from lightly_memloc.training import TrainingConfig, train_pair


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs, as far as devices are named."""
    monkeypatch.setattr(torch, "zeros", lambda *_, device: torch.device(device))


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"),
    [
        ("auto", "auto", 1),
        ("cpu", "cpu", 1),
        ("cpu:0", "cpu", 1),
        (torch.device("cpu"), "cpu", 1),
        ("cuda", "gpu", 1),
        ("cuda:1", "gpu", [1]),
        (torch.device("cuda", 1), "gpu", [1]),
        ("mps", "mps", 1),
    ],
)
def test_a_torch_device_is_the_device_of_a_trainer(
    two_gpus, device, accelerator, devices
):
    expected = {"accelerator": accelerator, "devices": devices}
    assert trainer_device(device) == expected


def test_several_devices_of_a_kind(two_gpus):
    assert trainer_device("cuda", 2) == {"accelerator": "gpu", "devices": 2}
    with pytest.raises(MemorizationError, match="on 2 devices with device 'cuda:1'"):
        trainer_device("cuda:1", 2)


@pytest.mark.parametrize("device", ["abacus", "cuda:63"])
def test_a_device_that_is_not_there_is_refused_alike(device):
    words = f"Cannot use device '{device}'.*Expected 'auto'"
    with pytest.raises(MemorizationError, match=words):
        resolve_device(device, nn.Linear(1, 1))
    with pytest.raises(MemorizationError, match=words):
        trainer_device(device)


@pytest.mark.parametrize(
    ("capabilities", "lacks"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, True),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": True}, False),
        ({"avx2": True}, False),
    ],
)
def test_bfloat16_without_units_for_it_is_warned_of(
    monkeypatch, digits, small_split, capabilities, lacks
):
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )
    assert lacks_bfloat16("cpu") == lacks
    assert not lacks_bfloat16("cuda")
    if lacks:
        config = TrainingConfig.for_data(
            "digits", backbone="resnet9-slim", epochs=1, precision="bf16-mixed"
        )
        with pytest.warns(MemorizationWarning, match="without --amp"):
            train_pair(digits, small_split, config, device="cpu")
