"""The train command: a pair of encoders that differ in what they saw."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    Candidates,
    Data,
    Externals,
    Independents,
    InputSize,
    Json,
    Seed,
    SkipUnreadable,
    SplitFile,
    Workers,
)
from lightly_memloc.cli.output import print_json, say


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    method: Annotated[
        str,
        typer.Option(
            help="simclr, moco, byol, simsiam, barlow_twins, vicreg, dino, mae or "
            "supervised."
        ),
    ] = "simclr",
    backbone: Annotated[
        str,
        typer.Option(
            help="resnet9, resnet9-slim, resnet18, resnet34, resnet50; a vision "
            "transformer of timm by its patches, such as vit_tiny_patch4; or "
            "package.module:function."
        ),
    ] = "resnet9",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = 100,
    split: SplitFile = None,
    candidate: Candidates = None,
    independent: Independents = None,
    external: Externals = None,
    input_size: InputSize = None,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Images per batch on each device.")
    ] = 128,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    num_workers: Workers = 0,
    seed: Seed = 0,
    share_seeds: Annotated[
        bool,
        typer.Option(
            "--share-seeds",
            help="Give f and g the same initialisation and the same views of shared "
            "images.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, gpu, ...")] = "auto",
    devices: Annotated[
        int, typer.Option(min=1, help="Devices that train together.")
    ] = 1,
    strategy: Annotated[
        str, typer.Option(help="Lightning's strategy for several devices, such as ddp.")
    ] = "auto",
    amp: Annotated[
        bool,
        typer.Option(
            "--amp", help="Mixed precision: bfloat16, or float16 where a GPU lacks it."
        ),
    ] = False,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            help="Follow training with a callback: memorization, online_unit_mem, or "
            "one of another package; may be repeated."
        ),
    ] = None,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Train encoders f and g, and write a run folder that the other commands measure.

    Interrupted, the same command goes on from the last whole epoch.
    """
    from lightly_memloc.cli.roles import random_roles
    from lightly_memloc.data import MemorizationSplit, open_dataset
    from lightly_memloc.evaluators import rank_and_world_size
    from lightly_memloc.training import Run, TrainingConfig, mixed_precision

    roles = (
        MemorizationSplit.load(split)
        if split
        else random_roles(
            open_dataset(data), candidate, independent, external, seed, skip_unreadable
        )
    )
    config = TrainingConfig.for_data(
        data,
        method=method,
        backbone=backbone,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        input_size=input_size,
        seed=seed,
        share_seeds=share_seeds,
        precision=mixed_precision() if amp else "32-true",
        num_workers=num_workers,
        devices=devices,
        strategy=strategy,
    )
    run = Run.train(out, data, roles, config, device, callback or ())
    if rank_and_world_size()[0]:
        return
    losses = run.losses().iloc[-1]
    if as_json:
        print_json({"run": str(out), "loss": {"f": losses["f"], "g": losses["g"]}})
        return
    say(
        f"Trained f on {len(roles.trained_f)} and g on {len(roles.trained_g)} images "
        f"(final losses {losses['f']:.3f} and {losses['g']:.3f}): saved to {out}."
    )
    say(f"Next: lightly-memloc layer-mem {out}")
