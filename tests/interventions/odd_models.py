"""Models that are put together in unusual ways."""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def small_resnet():
    return ResNet(BasicBlock, [1, 1, 1, 1])


def shifted(model):
    for entry, value in model.state_dict().items():
        if value.is_floating_point() and (value.dim() < 2 or not value.any()):
            noise = torch.randn_like(value).mul_(0.3)
            value.add_(noise.abs() if entry.endswith("running_var") else noise)
    return model.eval()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.step = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = self.step(self.first(x.mean((2, 3))))
        return self.last(torch.relu(self.step(self.norm(torch.relu(x)))))
