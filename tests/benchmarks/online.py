"""What following UnitMem costs a training step.

    python tests/benchmarks/online.py [--steps 30]

SimCLR steps of ResNet-18 on two views of 256 images of 32x32, with and without
OnlineUnitMem, in turn, so that a machine's changing speed hits both. The ratio of the
medians is printed, and the quartiles of the ratios of neighbours.
"""

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
import torchvision
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

import lightly_memloc as memloc

BATCH_SIZE, SIZE, LIMIT = 256, 32, 1.03


class Training:
    """SimCLR as lightly's example has it, one step at a time."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        resnet = torchvision.models.resnet18()
        self.backbone = nn.Sequential(*list(resnet.children())[:-1])
        self.head = SimCLRProjectionHead(512, 2048, 2048)
        self.criterion = NTXentLoss()
        parameters = [*self.backbone.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=0.06)
        self.views = torch.rand(2, BATCH_SIZE, 3, SIZE, SIZE)
        self.tracker = memloc.OnlineUnitMem(self.backbone)
        self.steps = 0

    def step(self, *, tracked: bool) -> float:
        """Train a step and return the seconds that it took."""
        first = self.steps * BATCH_SIZE
        names = [f"{number}.png" for number in range(first, first + BATCH_SIZE)]
        start = time.perf_counter()
        with self.tracker.batch(names) if tracked else nullcontext():
            z0, z1 = (
                self.head(self.backbone(view).flatten(start_dim=1))
                for view in self.views
            )
            loss = self.criterion(z0, z1)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.steps += tracked
        return time.perf_counter() - start


def main() -> None:
    """Parse, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    training = Training()
    for tracked in (True, False):
        training.step(tracked=tracked)
    bare, tracked = [], []
    for _ in range(parser.parse_args().steps):
        bare.append(training.step(tracked=False))
        tracked.append(training.step(tracked=True))
    ratios = [t / b for t, b in zip(tracked, bare, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    table = Table(box=box.ASCII2, title="A training step with OnlineUnitMem")
    for column in ("encoder", "bare s", "ratio", "quartiles", "limit"):
        table.add_column(column)
    table.add_row(
        f"ResNet-18, {SIZE}x{SIZE}, batch {BATCH_SIZE}",
        f"{statistics.median(bare):.2f}",
        f"{statistics.median(tracked) / statistics.median(bare):.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{LIMIT}",
    )
    Console(width=88).print(table)


if __name__ == "__main__":
    main()
