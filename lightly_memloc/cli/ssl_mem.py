"""The ssl-mem command."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    BatchSize,
    Device,
    Json,
    Layers,
    Resume,
    Seed,
    SkipUnreadable,
    Views,
    Workers,
)
from lightly_memloc.cli.output import save_and_show


def ssl_mem(
    runs: Annotated[
        Path,
        typer.Argument(metavar="RUNS", help="A folder made by `train --runs K`."),
    ],
    layers: Layers = None,
    views: Views = 10,
    batch_size: BatchSize = 64,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the result's tables. \\[default: inside the folder of runs]"
        ),
    ] = None,
    resume: Resume = False,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Measure SSLMem of each image over several runs, with intervals over runs."""
    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.training import Runs, measure_ssl_mem_runs

    of = Runs(runs)
    folder = out or of.folder / "ssl-mem"
    # Only what a measurement keeps is removed: --out may hold anything else.
    state_folder = folder / "layer-mem-of-runs"
    if resume and not state_folder.is_dir():
        raise MemorizationError(
            f"Nothing to resume: {folder} holds no interrupted measurement."
        )
    for name in () if resume else of.names:
        for kept in ("result.json", "state.pt"):
            (state_folder / name / kept).unlink(missing_ok=True)
    result = measure_ssl_mem_runs(
        of.folder,
        layers=layers or "auto",
        n_views=views,
        batch_size=batch_size,
        num_workers=num_workers,
        seed=seed,
        device=device,
        skip_unreadable=skip_unreadable,
        state_folder=state_folder,
    )
    save_and_show(result, as_json, folder)
