"""The curate command."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    Device,
    Json,
    ProbeName,
    ResultOut,
    RunOrRuns,
    Seed,
    Views,
    Workers,
)


def curate(
    source: RunOrRuns,
    amount: Annotated[
        float,
        typer.Option(
            help="How many images: a fraction of the scored ones below 1, or a number."
        ),
    ] = 50,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train f again without them, and without as many random ones, and "
            "compare.",
        ),
    ] = False,
    probe: ProbeName = "logistic",
    views: Views = 10,
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """List the most memorised images, and train without them.

    With several runs the images are ranked by their SSLMem over runs. What `layer-mem`
    or `ssl-mem` has measured is used, or else measured now. memorized.txt and kept.txt
    name the images, a line each, as lightly's LightlyDataset(filenames=...) takes them.
    """
    from lightly_memloc.cli.intervening import layer_mem_of, ssl_mem_of
    from lightly_memloc.cli.output import save_and_show
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.interventions import (
        curate,
        retrain_without,
        write_filename_lists,
    )
    from lightly_memloc.training import Run, Runs

    folder = out or Path(source) / ("retrain" if retrain else "curate")
    if Runs.is_runs(source):
        runs = Runs(source)
        if retrain:
            raise MemorizationError(
                f"{source} is a folder of runs: --retrain takes one of them, such as "
                f"{runs.folder / runs.names[0]}."
            )
        result = curate(ssl_mem_of(runs, views, num_workers, device), amount)
        dataset = runs.dataset()
    else:
        subject = Subject.resolve(source)
        dataset = subject.dataset
        result = curate(layer_mem_of(subject, num_workers, device, views), amount)
        if retrain:
            result = retrain_without(
                Run(source),
                result,
                subject.probe_task(256, num_workers),
                folder,
                probe=probe,
                n_views=views,
                num_workers=num_workers,
                seed=seed,
                device=device,
            )
    write_filename_lists(result, dataset, folder)
    save_and_show(result, as_json, folder)
