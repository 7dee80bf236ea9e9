from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def shifted() -> Callable[[nn.Module], nn.Module]:
    """Give norms and biases values that no zero survives."""

    def shift(model: nn.Module) -> nn.Module:
        for entry, value in model.state_dict().items():
            if not value.is_floating_point() or (value.dim() > 1 and value.any()):
                continue
            noise = torch.randn_like(value).mul_(0.3)
            value.add_(noise.abs() if entry.endswith("running_var") else noise)
        return model.eval()

    return shift


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32)
