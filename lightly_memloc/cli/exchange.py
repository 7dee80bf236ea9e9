"""The exchange command."""

from typing import TYPE_CHECKING

from lightly_memloc.cli.options import (
    Device,
    Json,
    NumLayers,
    ProbeName,
    ResultOut,
    RunOrRuns,
    Seed,
    Workers,
)

if TYPE_CHECKING:
    from lightly_memloc.cli.subject import Subject
    from lightly_memloc.results import InterventionResult


def exchange(
    source: RunOrRuns,
    n_layers: NumLayers = 1,
    probe: ProbeName = "logistic",
    num_workers: Workers = 0,
    seed: Seed = 0,
    device: Device = "auto",
    out: ResultOut = None,
    as_json: Json = False,
) -> None:
    """Take the most, the least or random memorising layers of f from g, and probe f.

    A run is a single trial: intervals come from several runs.
    """
    from lightly_memloc.cli.intervening import intervene_and_show, layer_mem_of
    from lightly_memloc.interventions import measure_exchange

    def intervene(subject: "Subject", first: int) -> "InterventionResult":
        assert subject.g is not None
        return measure_exchange(
            subject.f,
            subject.g,
            layer_mem_of(subject, num_workers, device),
            subject.probe_task(256, num_workers),
            n_layers=n_layers,
            probe=probe,
            seed=first,
            device=device,
        )

    intervene_and_show(source, "exchange", intervene, seed, out, as_json)
