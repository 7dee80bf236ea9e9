"""A small encoder whose layers a test can name, and images that it tells apart."""

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import nn
from torch.utils.data import Dataset

# Layer: the module after which its state is read, and the one after which its units
# are, with the dimension of the units.
STATES = {"conv": "pool", "mix": "relu", "head": "head"}
UNITS = {"conv": ("tanh", 1), "mix": ("relu", -1), "head": ("head", -1)}
KINDS = {"conv": "conv", "mix": "linear", "head": "linear"}


class Tiny(nn.Module):
    """A signed convolution, a linear layer of channels-last maps, a linear layer.

    In double precision: however images are batched, rounding is out of sight.
    """

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.tanh = nn.Tanh()
        self.pool = nn.MaxPool2d(2)
        self.mix = nn.Linear(4, 5)
        self.relu = nn.ReLU()
        self.head = nn.Linear(5, 6)
        self.double()

    def forward(self, x):
        x = self.pool(self.tanh(self.norm(self.conv(x.double()))))
        x = self.relu(self.mix(x.permute(0, 2, 3, 1)))
        return self.head(x.mean((1, 2)))


class Shades(Dataset):
    """Images of 8x8 pixels, each a little lighter than the one before; 0 is almost black.

    Args:
        n: Number of images, at most 24.
        broken: Indices of images that cannot be read.
        reads: Number of images after which reading is interrupted; None for never.
    """

    def __init__(self, n=24, broken=(), reads=None):
        noise = np.random.default_rng(0).integers(10, size=(n, 8, 8, 3))
        noise[0] %= 2
        self.pixels = (10 * np.arange(n)[:, None, None, None] + noise).astype(np.uint8)
        self.targets = [index % 3 for index in range(n)]
        self.filenames = [f"shade/{index:02d}.png" for index in range(n)]
        self.broken = broken
        self.reads = reads
        self.read = []

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        if len(self.read) == self.reads:
            raise KeyboardInterrupt
        self.read.append(index)
        if index in self.broken:
            raise UnidentifiedImageError("broken")
        image = Image.fromarray(self.pixels[index])
        return image, self.targets[index], self.filenames[index]


class Unlabelled(Shades):
    """Shades that tell their classes only as they are read."""

    def __init__(self, n, kind=int):
        super().__init__(n)
        self.classes_read = [kind(target) for target in self.targets]
        del self.targets

    def __getitem__(self, index):
        pixels = Image.fromarray(self.pixels[index])
        return pixels, self.classes_read[index], self.filenames[index]


class OnlyBlackIsNegative(nn.Module):
    """A convolution that gives a negative output for image 0 of the shades alone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        nn.init.constant_(self.conv.weight, 1 / 3)
        nn.init.constant_(self.conv.bias, -0.02)

    def forward(self, x):
        return self.conv(x)
