"""Test the paper's findings on CIFAR-10, and give a verdict on each.

    python examples/paper/run.py --data cifar10.zip --out runs/paper [--scale cpu|full]

Trains pairs of encoders, measures them, and writes tables and figures to
``OUT/results`` and a page with the verdicts to ``OUT/results.md``. To resume an
interrupted run, run the same command again: finished trainings and measurements are
read from OUT. ``--remeasure`` measures again and keeps the trained encoders.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from images import Draw, unpack
from keep import discard, measurements
from measured import SECONDS, Measured
from pool import call_all
from scale import SCALES, smoke
from terminal import show_verdicts

from lightly_memloc.data import open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import Run

try:
    from pair import measure_pair, train_pair
    from write import write_results
except ImportError as error:
    sys.exit(
        f'Error: {error}. Install the requirements: pip install "lightly-memloc[paper]"'
    )

_SCALE = "scale.json"


def reproduce(data, out, scale, command, device="auto", workers=1):
    """Train and measure the pairs that the findings need, and write the results.

    Args:
        data: A ZIP file of images called ``train/<class>/<name>``, ``test/...``.
        out: The folder of all outputs.
        scale: What is trained and measured.
        command: The command, as shown in the results.
        device: The device.
        workers: Number of trainings at a time, each on its own core.

    Raises:
        MemorizationError: If there are too few images, or the folder contains results
            of another scale.
    """
    _refuse_other(out, scale)
    images = unpack(data, out)
    pairs = {number: out / f"pair-{number}" for number in scale.numbers}
    calls = [
        (folder / name, images, number, scale, device)
        for number, folder in pairs.items()
        for name in scale.trainings
    ]
    call_all(_study, calls, workers, "Trainings", out / "log.txt")
    measured = {number: Measured(folder) for number, folder in pairs.items()}
    write_results(measured, scale, command, images, out / "results")


def _study(folder, images, number, scale, device):
    """Train and measure a pair, and record how long each took."""
    # The sum of floats depends on the number of threads.
    torch.set_num_threads(1)
    draw = Draw(open_dataset(images), scale.roles, scale.probes)
    there = Run.is_run(folder) and Run(folder).is_trained
    start = time.monotonic()
    run = train_pair(folder, images, draw, number, scale, device)
    if not there:
        _add_seconds(folder, "training", time.monotonic() - start)
    there, start = measurements(folder), time.monotonic()
    measure_pair(run, draw, number, scale, device)
    if measurements(folder) != there:
        _add_seconds(folder, "measuring", time.monotonic() - start)


def _add_seconds(folder, name, seconds):
    """Add the seconds of a part to those of earlier calls."""
    path = folder / SECONDS
    known = json.loads(path.read_text()) if path.is_file() else {}
    known[name] = known.get(name, 0) + seconds
    path.write_text(json.dumps(known) + "\n")


def _discard_measurements(out):
    """Discard all measurements and how long they took."""
    discard(out)
    for path in out.glob(f"pair-*/*/{SECONDS}"):
        seconds = json.loads(path.read_text())
        seconds.pop("measuring", None)
        path.write_text(json.dumps(seconds) + "\n")


def _refuse_other(out, scale):
    """Refuse a folder of other settings, except another number of pairs."""
    asked = json.loads(json.dumps(asdict(scale)))
    known = out / _SCALE
    there = json.loads(known.read_text()) if known.is_file() else asked
    differences = [
        name for name in asked if name != "pairs" and asked[name] != there.get(name)
    ]
    if differences:
        raise MemorizationError(
            f"{out} contains results of other settings ({', '.join(differences)}). "
            "Choose another folder, or remove this one."
        )
    out.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(asked, indent=1) + "\n")


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="ZIP file of images.")
    parser.add_argument(
        "--out", type=Path, required=True, help="Folder of all results."
    )
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="cpu",
        help="cpu: two cores, about two hours; full: the paper's setting, for GPUs; "
        "pilot: the pairs by which the settings of cpu were chosen.",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, ...")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="Number of parallel trainings, one core each.",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="Run everything with tiny numbers."
    )
    parser.add_argument(
        "--remeasure",
        action="store_true",
        help="Discard the measurements in OUT first, and keep the trained encoders. "
        "To resume, leave it out.",
    )
    asked = parser.parse_args()
    if asked.remeasure:
        _discard_measurements(asked.out)
    scale = SCALES[asked.scale]
    command = (
        f"python examples/paper/run.py --data {asked.data.name} --out OUT "
        f"--scale {asked.scale} --workers {asked.workers}"
    )
    try:
        reproduce(
            asked.data,
            asked.out,
            smoke(scale) if asked.smoke else scale,
            command,
            asked.device,
            asked.workers,
        )
    except MemorizationError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. To resume, run the same command again.")
    show_verdicts(asked.out / "results")


if __name__ == "__main__":
    main()
