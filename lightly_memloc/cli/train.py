"""The train command: pairs of encoders that differ in what they are trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightly_memloc.cli.interruption import kept_of_trainings, resumable
from lightly_memloc.cli.options import (
    EXECUTION,
    OUTPUT,
    Data,
    DeviceGroup,
    Json,
    Seed,
    a_folder,
    finite,
)
from lightly_memloc.cli.output import print_json, say, say_command
from lightly_memloc.cli.prepare import ROLES_PANEL, RolesGroup
from lightly_memloc.errors import MemorizationError

if TYPE_CHECKING:
    from lightly_memloc.training import Run, Runs


@dataclass(frozen=True)
class TrainingGroup:
    """The settings of a training that the data do not decide."""

    method: Annotated[
        str,
        typer.Option(
            help="simclr, moco, byol, simsiam, barlow_twins, vicreg, dino, mae or "
            "supervised."
        ),
    ] = "simclr"
    backbone: Annotated[
        str,
        typer.Option(
            help="resnet9, resnet9-slim, resnet18, resnet34 or resnet50; a vision "
            "transformer of timm with its patch size, such as vit_tiny_patch4; or "
            "package.module:function."
        ),
    ] = "resnet9"
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = 100
    batch_size: Annotated[
        int, typer.Option(min=2, help="Images per batch on each device.")
    ] = 128
    learning_rate: Annotated[
        float, typer.Option(callback=finite, help="Peak learning rate.")
    ] = 1e-3
    input_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the square views in pixels. \\[default: 32; for digits 16]",
        ),
    ] = None
    seed: Seed = 0
    share_seeds: Annotated[
        bool,
        typer.Option(
            "--share-seeds",
            help="Give f and g the same initialisation, and the same views of shared "
            "images.",
        ),
    ] = False


@dataclass(frozen=True)
class TrainingDeviceGroup(DeviceGroup):
    """Where a training runs."""

    devices: Annotated[
        int,
        typer.Option(
            min=1, rich_help_panel=EXECUTION, help="Number of devices to train on."
        ),
    ] = 1
    strategy: Annotated[
        str,
        typer.Option(
            rich_help_panel=EXECUTION,
            help="Lightning's strategy for several devices, such as ddp.",
        ),
    ] = "auto"
    amp: Annotated[
        bool,
        typer.Option(
            "--amp",
            rich_help_panel=EXECUTION,
            help="Train in mixed precision: bfloat16, or float16 on a GPU without it.",
        ),
    ] = False


def train(
    data: Data,
    training: TrainingGroup,
    roles: RolesGroup,
    execution: TrainingDeviceGroup,
    out: Annotated[
        Path,
        typer.Option(
            callback=a_folder, rich_help_panel=OUTPUT, help="The run folder to write."
        ),
    ],
    runs: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Train this many pairs for `ssl-mem`, each on its own random split. A "
            "tenth of the images are external; half of the others are candidates and "
            "half independent.",
        ),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=ROLES_PANEL,
            help="File with the roles of the images, written by `split`. \\[default: "
            "a random split]",
        ),
    ] = None,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            help="Callback that measures during training: memorization, "
            "online_unit_mem, or one of another package. May be repeated."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train encoders f and g, and write a run folder for the other commands.

    To resume an interrupted training from its last complete epoch, repeat the command.
    """
    from lightly_memloc.data import MemorizationSplit, open_dataset
    from lightly_memloc.training import Run, TrainingConfig, mixed_precision, train_runs

    config = TrainingConfig.for_data(
        data,
        **asdict(training),
        num_workers=execution.num_workers,
        devices=execution.devices,
        strategy=execution.strategy,
        precision=mixed_precision() if execution.amp else "32-true",
    )
    callbacks, dataset = callback or (), open_dataset(data)
    if runs is not None:
        if split is not None:
            raise MemorizationError(
                "--runs draws a split for each run: omit --split, or train the runs one "
                "by one."
            )
        with resumable(partial(kept_of_trainings, out)):
            trained = train_runs(
                out,
                data,
                runs,
                config,
                candidate=roles.candidate,
                independent=roles.independent,
                external=roles.external,
                exclude=roles.without_role(dataset),
                groups=roles.groups_of(dataset),
                allow_duplicates=roles.allow_duplicates,
                device=execution.device,
                callbacks=callbacks,
            )
        _show_runs(trained, runs, as_json)
        return
    if split is None:
        chosen = roles.draw(dataset, config.seed)
    else:
        chosen = MemorizationSplit.load(split)
        if roles.groups is not None:
            chosen.refuse_other(dataset)
            chosen = replace(chosen, groups=roles.groups_of(dataset))
    with resumable(partial(kept_of_trainings, out)):
        trained_run = Run.train(
            out,
            data,
            chosen,
            config,
            device=execution.device,
            callbacks=callbacks,
            allow_duplicates=roles.allow_duplicates,
        )
    _show_run(trained_run, as_json)


def _show_run(run: "Run", as_json: bool) -> None:
    if not _saved([run.folder]):
        return
    losses = run.losses().iloc[-1]
    if as_json:
        loss = {"f": losses["f"], "g": losses["g"]}
        print_json({"run": str(run.folder), "loss": loss})
        return
    say(
        f"Trained f on {len(run.split.trained_f)} and g on {len(run.split.trained_g)} "
        f"images (final losses {losses['f']:.3f} and {losses['g']:.3f}): saved to "
        f"{run.folder}."
    )
    say_command("Next", "layer-mem", run.folder)


def _show_runs(runs: "Runs", n_runs: int, as_json: bool) -> None:
    folders = [runs.folder / name for name in runs.names]
    if not _saved(folders):
        return
    if as_json:
        print_json({"runs": [str(folder) for folder in folders]})
        return
    say(f"Trained {n_runs} pairs: saved to {runs.folder}.")
    say_command("Next", "ssl-mem", runs.folder)


def _saved(folders: Sequence[Path]) -> bool:
    """Plot what callbacks measured, in the one process that also prints."""
    from lightly_memloc.report import save_epochs
    from lightly_memloc.runtime import rank_and_world_size

    rank, _ = rank_and_world_size()
    for folder in folders if rank == 0 else ():
        save_epochs(folder)
    return rank == 0
