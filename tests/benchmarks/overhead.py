"""What measuring costs over the bare forward passes, in time and in memory.

    python tests/benchmarks/overhead.py [--images 500] [--repeats 3]

Time is the ratio of a whole measurement (all layers, all units, statistics included) to
the bare loop over the same loader and views, ``model(x)`` under inference mode with
nothing captured. Both run in turn, so that a machine's changing speed hits both; the
median of the pairs' ratios is printed. Memory is the peak resident set of a process of
its own, for few images and for ten times as many; large blocks go back to the system
when they are freed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from lightly.transforms import SimCLRTransform
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import Dataset

import lightly_memloc as memloc
from lightly_memloc.evaluators.view_loader import view_loader

VIEWS, BATCH_SIZE = 10, 64
ENCODERS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "ResNet-18, 32x32": (32, torchvision.models.resnet18),
    "ViT-Tiny, 64x64": (
        64,
        lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0),
    ),
}


class Noise(Dataset):
    """Images made when they are asked for: a data set without memory of its own."""

    def __init__(self, n: int, size: int) -> None:
        self.n, self.size = n, size

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        rng = np.random.default_rng(index)
        pixels = rng.integers(256, size=(self.size, self.size, 3), dtype=np.uint8)
        return Image.fromarray(pixels), index % 10


class Study:
    """One encoder pair with its data, measured or just run."""

    def __init__(self, encoder: str, images: int) -> None:
        size, factory = ENCODERS[encoder]
        torch.manual_seed(0)
        self.f, self.g = factory().eval(), factory().eval()
        self.dataset = Noise(images, size)
        self.transform = SimCLRTransform(input_size=size)
        third = images // 3
        self.split = memloc.MemorizationSplit.random(
            images, candidate=images - 2 * third, independent=third, external=third
        )
        self.alone = memloc.MemorizationSplit.random(
            images, candidate=images // 2, independent=0, external=images - images // 2
        )

    def unit_mem(self) -> None:
        memloc.measure_unit_mem(
            self.f,
            self.dataset,
            self.transform,
            np.union1d(self.split.candidate, self.split.independent),
            holdout=self.split.external,
            n_views=VIEWS,
            batch_size=BATCH_SIZE,
        )

    def layer_mem(self) -> None:
        memloc.measure_layer_mem(
            self.f,
            self.g,
            self.dataset,
            self.split,
            self.transform,
            n_views=VIEWS,
            batch_size=BATCH_SIZE,
        )

    def layer_mem_alone(self) -> None:
        memloc.measure_layer_mem(
            self.f,
            None,
            self.dataset,
            self.alone,
            self.transform,
            n_views=VIEWS,
            batch_size=BATCH_SIZE,
        )

    def bare(self, encoders: list[nn.Module]) -> None:
        views = memloc.MultiViewDataset(self.dataset, self.transform, VIEWS)
        indices = np.arange(len(self.dataset))
        with torch.inference_mode():
            for batch in view_loader(views, indices, BATCH_SIZE, num_workers=0):
                for encoder in encoders:
                    encoder(batch.views.flatten(0, 1))


def seconds(run: Callable[[], None]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def time_ratios(images: int, repeats: int) -> Table:
    """Ratios of measurements to bare loops."""
    table = Table(
        box=box.ASCII2, title=f"Time over the bare loop, {images} images, V={VIEWS}"
    )
    for column in ("encoder", "measurement", "bare s", "ratio", "min", "max", "limit"):
        table.add_column(column)
    for encoder in ENCODERS:
        study = Study(encoder, images)
        for name, measure, passes, limit in (
            ("measure_unit_mem", study.unit_mem, [study.f], 1.15),
            ("measure_layer_mem", study.layer_mem, [study.f, study.g], 1.25),
            # Two untrained encoders run beside the one that is measured.
            ("measure_layer_mem, alone", study.layer_mem_alone, [study.f], 3.2),
        ):
            study.bare(passes)
            bare, measured = [], []
            for _ in range(repeats):
                bare.append(seconds(partial(study.bare, passes)))
                measured.append(seconds(measure))
            ratios = [m / b for m, b in zip(measured, bare, strict=True)]
            table.add_row(
                encoder,
                name,
                f"{statistics.median(bare):.1f}",
                f"{statistics.median(ratios):.3f}",
                f"{min(ratios):.3f}",
                f"{max(ratios):.3f}",
                f"{limit}",
            )
    return table


def peak_megabytes(measurement: str, images: int) -> float:
    """Peak resident set of a measurement in a process of its own."""
    command = [sys.executable, __file__, "--peak", measurement, "--images", str(images)]
    # By default glibc keeps freed blocks of up to 32 MB: the peak would be a matter of
    # chance, in the bare loop as well.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
    output = subprocess.check_output(command, env=environment)
    return float(json.loads(output)["megabytes"])


def own_peak_megabytes() -> float:
    """Peak resident set of this process; ru_maxrss would inherit its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def memory_table(images: int) -> Table:
    """Peak memory for few and for many images."""
    table = Table(box=box.ASCII2, title="Peak resident set, ResNet-18, 32x32")
    for column in (
        "measurement",
        f"{images} images",
        f"{10 * images} images",
        "difference",
        "limit",
    ):
        table.add_column(column)
    for measurement in ("unit_mem", "layer_mem"):
        few, many = (peak_megabytes(measurement, n) for n in (images, 10 * images))
        table.add_row(
            f"measure_{measurement}",
            f"{few:.0f} MB",
            f"{many:.0f} MB",
            f"{many - few:+.0f} MB",
            "30 MB",
        )
    return table


def main() -> None:
    """Parse, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", choices=["unit_mem", "layer_mem"])
    arguments = parser.parse_args()
    if arguments.peak:
        getattr(Study("ResNet-18, 32x32", arguments.images), arguments.peak)()
        print(json.dumps({"megabytes": own_peak_megabytes()}))
        return
    console = Console(width=88)
    console.print(time_ratios(arguments.images, arguments.repeats))
    console.print(memory_table(arguments.images))


if __name__ == "__main__":
    main()
