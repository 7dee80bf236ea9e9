from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightly_memloc.layers import captured, trace_layers

Read = Callable[..., dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def randomized() -> Callable[[nn.Module], nn.Module]:
    def randomize(model: nn.Module) -> nn.Module:
        model = model.double().eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
        return model

    return randomize


@pytest.fixture
def read() -> Read:
    def capture(
        model: nn.Module,
        images: Tensor,
        read: str,
        layers: str | list[str] = "auto",
    ) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        with torch.no_grad():
            traced = trace_layers(model, layers, read, images)
            with captured(
                model, traced, lambda layer, x: outputs.update({layer.name: x.clone()})
            ):
                model(images)
        assert list(outputs) == [layer.name for layer in traced]
        return outputs

    return capture


@pytest.fixture
def hooks() -> Callable[[nn.Module], list[dict[str, dict]]]:
    def list_hooks(model: nn.Module) -> list[dict[str, dict]]:
        return [
            {
                name: dict(value)
                for name, value in vars(module).items()
                if "hooks" in name and isinstance(value, dict)
            }
            for module in model.modules()
        ]

    return list_hooks
