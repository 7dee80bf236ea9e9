"""What estimating, saving, loading and reporting cost by the number of images.

    python tests/benchmarks/scale.py [--images 10000 100000 1000000] [--extrapolate N]

The distances are made up: twelve layers, two encoders, as many candidates, independent
and external images, ten views. They have single precision, as measured ones have. Each
number of images has a process of its own, with one thread. The slopes are microseconds
for each further image, and the peak of the memory is what comes on top of the distances.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from lightly_memloc.estimation import Readings, estimate_layer_mem, infer_membership
from lightly_memloc.report import write_report
from lightly_memloc.results import load_result

N_LAYERS = 12
ROLES = ("candidate", "independent", "external")
SETTINGS = {
    "normalization": "relative",
    "top_k": 50,
    "seed": 0,
    "skipped": [],
    "reference": True,
}
STEPS = {
    "estimates": "s",
    "saving": "s",
    "saved": "MB",
    "loading the table of layers": "s",
    "loading the table of images": "s",
    "report": "s",
    "membership": "s",
    "peak memory": "MB",
}


def readings(n: int) -> Readings:
    """Distances of images that differ, of which the candidates are memorised a little."""
    rng = np.random.default_rng(0)
    roles = np.array(ROLES)[np.arange(n) % len(ROLES)]
    images = pd.DataFrame(
        {
            "index": np.arange(n),
            "filename": [f"class_{i % 1000:03d}/{i:07d}.jpg" for i in range(n)],
            "role": roles,
        }
    )
    difficulty = rng.lognormal(-2, 0.5, (n, 1, 1))

    def of_encoder(memorised: str) -> np.ndarray:
        of_role = np.where(roles == memorised, 0.98, 1.0)[:, None, None]
        noise = rng.lognormal(0, 0.1, (n, N_LAYERS, 2))
        return (difficulty * of_role * noise).astype(np.float32).astype(np.float64)

    halves = {"f": of_encoder("candidate"), "g": of_encoder("independent")}
    distances = {
        name: of.mean(axis=2).astype(np.float32).astype(np.float64)
        for name, of in halves.items()
    }
    layers = [(f"blocks.{i}", "block") for i in range(N_LAYERS)]
    return Readings(images, layers, distances, halves)


def measured(n: int) -> dict[str, float]:
    """Seconds and megabytes of each step."""
    of_step: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        of_step[step] = time.perf_counter() - start

    given = readings(n)
    Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
    before = own_megabytes("VmRSS")
    with timed("estimates"):
        result = estimate_layer_mem(given, SETTINGS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "layer-mem"
        with timed("saving"):
            result.save(folder)
        of_step["saved"] = sum(of.stat().st_size for of in folder.iterdir()) / 1e6
        del result
        with timed("loading the table of layers"):
            load_result(folder).to_pandas()
        with timed("loading the table of images"):
            load_result(folder).to_pandas("samples")
        with timed("report"):
            write_report(folder)
        of_step["peak memory"] = own_megabytes("VmHWM") - before
        result = load_result(folder)
        with timed("membership"):
            infer_membership(result)
    return of_step


def own_megabytes(field: str) -> float:
    """A size of this process as the kernel calls it, such as VmHWM, its peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024


def in_own_process(n: int) -> dict[str, float]:
    """What a process of its own measures, with one thread."""
    command = [sys.executable, __file__, "--measure", str(n)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | threads | {"MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
    of_step: dict[str, float] = json.loads(
        subprocess.check_output(command, env=environment)
    )
    return of_step


def extrapolated(by_number: dict[int, dict[str, float]], n: int) -> dict[str, float]:
    """What a straight line through the two largest numbers of images comes to."""
    (fewer, of_fewer), (more, of_more) = sorted(by_number.items())[-2:]
    per_image = {
        step: (of_more[step] - of_fewer[step]) / (more - fewer) for step in STEPS
    }
    return {step: of_more[step] + per_image[step] * (n - more) for step in STEPS}


def table(by_number: dict[int, dict[str, float]], extrapolated_to: int | None) -> Table:
    """One row per step, with its slopes between the numbers of images."""
    shown = Table(box=box.ASCII2, title="Twelve layers, two encoders, one core")
    shown.add_column("step")
    for n in by_number:
        is_guess = n == extrapolated_to
        shown.add_column(f"{n:,}" + ("\n(extrapolated)" if is_guess else ""))
    pairs = list(pairwise(by_number))
    for fewer, more in pairs:
        shown.add_column(f"slope\n{fewer:.0e}-{more:.0e}".replace("e+0", "e"))
    for step, unit in STEPS.items():
        digits: Callable[[float], str] = (
            "{:.1f}".format if unit == "s" else "{:.0f}".format
        )
        row = [f"{step}, {unit}", *(digits(of[step]) for of in by_number.values())]
        for fewer, more in pairs:
            slope = (by_number[more][step] - by_number[fewer][step]) / (more - fewer)
            row.append(f"{1e6 * slope:.1f} {'us' if unit == 's' else 'B'}")
        shown.add_row(*row)
    return shown


def main() -> None:
    """Parse, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--extrapolate", type=int)
    parser.add_argument("--measure", type=int)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments.measure)))
        return
    by_number = {n: in_own_process(n) for n in sorted(arguments.images)}
    if arguments.extrapolate:
        by_number[arguments.extrapolate] = extrapolated(
            by_number, arguments.extrapolate
        )
    Console(width=88).print(table(by_number, arguments.extrapolate))


if __name__ == "__main__":
    main()
