import pytest
import torch

from lightly_memloc.probes import ProbeTask
from lightly_memloc.training import ResNet9
from tests.probes.pixels import PLAIN


@pytest.fixture
def task(digits):
    return ProbeTask(digits, range(100, 180), range(40), PLAIN, batch_size=16)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ResNet9(width=4)
