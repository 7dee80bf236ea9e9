"""The train command: a pair of encoders that differ in what they saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightly_memloc.cli.options import (
    Candidates,
    Data,
    Device,
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
from lightly_memloc.cli.roles import Roles

if TYPE_CHECKING:
    from lightly_memloc.training import TrainingConfig


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
    runs: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Train so many pairs, each on a random split of its own in which every "
            "image but the external ones is a candidate or independent, for `ssl-mem`.",
        ),
    ] = None,
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
    device: Device = "auto",
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
    from lightly_memloc.training import TrainingConfig, mixed_precision

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
    roles = Roles(candidate, independent, external, skip_unreadable)
    following = device, callback or ()
    if runs is None:
        _train_one(data, out, split, config, roles, following, as_json)
    else:
        _train_several(data, out, split, runs, config, roles, following, as_json)


def _train_one(
    data: str,
    out: Path,
    split: Path | None,
    config: "TrainingConfig",
    roles: Roles,
    following: tuple[str, Sequence[str]],
    as_json: bool,
) -> None:
    from lightly_memloc.data import MemorizationSplit, open_dataset
    from lightly_memloc.report import save_epochs
    from lightly_memloc.runtime import rank_and_world_size
    from lightly_memloc.training import Run

    dataset = open_dataset(data)
    chosen = (
        MemorizationSplit.load(split) if split else roles.split(dataset, config.seed)
    )
    device, callbacks = following
    run = Run.train(out, data, chosen, config, device=device, callbacks=callbacks)
    if rank_and_world_size()[0]:
        return
    save_epochs(out)
    losses = run.losses().iloc[-1]
    if as_json:
        print_json({"run": str(out), "loss": {"f": losses["f"], "g": losses["g"]}})
        return
    say(
        f"Trained f on {len(run.split.trained_f)} and g on {len(run.split.trained_g)} "
        f"images (final losses {losses['f']:.3f} and {losses['g']:.3f}): saved to {out}."
    )
    print(f"Next: lightly-memloc layer-mem {out}")


def _train_several(
    data: str,
    out: Path,
    split: Path | None,
    n_runs: int,
    config: "TrainingConfig",
    roles: Roles,
    following: tuple[str, Sequence[str]],
    as_json: bool,
) -> None:
    from lightly_memloc.data import open_dataset
    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.report import save_epochs
    from lightly_memloc.runtime import rank_and_world_size
    from lightly_memloc.training import train_runs

    if split:
        raise MemorizationError(
            "--runs draws a split for each run: leave --split out, or train runs one by "
            "one."
        )
    device, callbacks = following
    trained = train_runs(
        out,
        data,
        n_runs,
        config,
        candidate=roles.candidate,
        independent=roles.independent,
        external=roles.external,
        exclude=roles.unreadable(open_dataset(data)),
        device=device,
        callbacks=callbacks,
    )
    if rank_and_world_size()[0]:
        return
    for name in trained.names:
        save_epochs(out / name)
    if as_json:
        print_json({"runs": [str(out / name) for name in trained.names]})
        return
    say(f"Trained {n_runs} pairs: saved to {out}.")
    print(f"Next: lightly-memloc ssl-mem {out}")
