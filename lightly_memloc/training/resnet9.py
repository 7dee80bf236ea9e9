"""The small ResNet-9 for small images."""

from collections import OrderedDict

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two convolutions with normalization and activation, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        out = self.act1(self.bn1(self.conv1(x)))
        residual: Tensor = self.act2(self.bn2(self.conv2(out)))
        return x + residual


class ResNet9(nn.Sequential):
    """The small ResNet of the LayerMem paper [0], without its classifier.

    Eight convolutions for images of 32x32 pixels and smaller; features are averaged
    over positions.

    - [0]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        width: Channels of the first convolution; the features have eight times as
            many.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.prep = _convolution(3, width)
        self.layer1 = _residual_stage(width, 2 * width)
        self.layer2 = _convolution(2 * width, 4 * width)
        self.layer3 = _residual_stage(4 * width, 8 * width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()


def _convolution(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(channels),
            act=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2, ceil_mode=True),
        )
    )


def _residual_stage(in_channels: int, channels: int) -> nn.Sequential:
    head, residual = _convolution(in_channels, channels), BasicBlock(channels)
    return nn.Sequential(OrderedDict(head=head, residual=residual))
