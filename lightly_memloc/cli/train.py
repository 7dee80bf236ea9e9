"""Commands that come before a measurement: split, train, layers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightly_memloc.cli.encoder import Model
from lightly_memloc.cli.options import (
    EXECUTION,
    OUTPUT,
    Data,
    DeviceGroup,
    Json,
    Layers,
    Seed,
)
from lightly_memloc.cli.output import (
    counted,
    print_json,
    print_skipped,
    print_table,
    say,
)
from lightly_memloc.errors import MemorizationError

if TYPE_CHECKING:
    from lightly_memloc.data import MemorizationSplit
    from lightly_memloc.training import Run, Runs

_ROLES = "Roles of the images"


@dataclass(frozen=True)
class RolesGroup:
    """Sizes of the roles in a random split."""

    candidate: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=_ROLES,
            help="Number of candidates. \\[default: a tenth of the images]",
        ),
    ] = None
    independent: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=_ROLES,
            help="Number of independent images. \\[default: a tenth of the images]",
        ),
    ] = None
    external: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=_ROLES,
            help="Number of external images. \\[default: a tenth of the images]",
        ),
    ] = None
    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            rich_help_panel=_ROLES,
            help="Give no role to images that cannot be read, and list them.",
        ),
    ] = False

    def draw(self, dataset: Any, seed: int) -> "MemorizationSplit":
        """Split a data set at random."""
        from lightly_memloc.data import MemorizationSplit

        return MemorizationSplit.of_dataset(
            dataset,
            self.candidate,
            self.independent,
            self.external,
            seed,
            self.without_role(dataset),
        )

    def without_role(self, dataset: Any) -> list[int]:
        """Find the images that get no role, and list them on standard error."""
        from lightly_memloc.data import filename_of, unreadable_images

        if not self.skip_unreadable:
            return []
        unreadable = unreadable_images(dataset)
        print_skipped(filename_of(dataset, index) for index in unreadable)
        return unreadable


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
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3
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


def split(
    data: Data,
    roles: RolesGroup,
    out: Annotated[
        Path, typer.Option(rich_help_panel=OUTPUT, help="The file to write.")
    ] = Path("split.json"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Assign a role to each image of a data set, at random.

    Encoder f is trained on shared and candidate images, and g on shared and independent
    images. Neither is trained on external images. The remaining images are shared.
    """
    from lightly_memloc.data import ROLES, open_dataset

    drawn = roles.draw(open_dataset(data), seed)
    drawn.save(out)
    sizes = {role: len(getattr(drawn, role)) for role in ROLES}
    if as_json:
        print_json({"split": str(out), "n": drawn.n} | sizes)
        return
    say(f"{', '.join(f'{n} {role}' for role, n in sizes.items())}: saved to {out}.")


def train(
    data: Data,
    training: TrainingGroup,
    roles: RolesGroup,
    execution: TrainingDeviceGroup,
    out: Annotated[
        Path, typer.Option(rich_help_panel=OUTPUT, help="The run folder to write.")
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
            rich_help_panel=_ROLES,
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
    callbacks = callback or ()
    if runs is not None:
        if split is not None:
            raise MemorizationError(
                "--runs draws a split for each run: omit --split, or train the runs one "
                "by one."
            )
        trained = train_runs(
            out,
            data,
            runs,
            config,
            candidate=roles.candidate,
            independent=roles.independent,
            external=roles.external,
            exclude=roles.without_role(open_dataset(data)),
            device=execution.device,
            callbacks=callbacks,
        )
        _show_runs(trained, runs, as_json)
        return
    chosen = (
        MemorizationSplit.load(split)
        if split is not None
        else roles.draw(open_dataset(data), config.seed)
    )
    _show_run(
        Run.train(
            out, data, chosen, config, device=execution.device, callbacks=callbacks
        ),
        as_json,
    )


def layers(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run folder.")
    ] = None,
    model: Model = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """List the layers of an encoder, with the names that --layers accepts."""
    import pandas as pd

    from lightly_memloc.layers import find_layers
    from lightly_memloc.report.tables import make_table, text
    from lightly_memloc.training import Run, make_model

    if (run is None) == (model is None):
        raise MemorizationError("Give either a run folder or --model.")
    encoder = Run(run).encoder("f") if run else make_model(str(model))
    found = find_layers(encoder, layers or "auto")
    if as_json:
        print_json(
            [
                {
                    "layer": layer.name,
                    "kind": layer.kind,
                    "state": layer.state is not None,
                    "units": layer.units is not None,
                }
                for layer in found
            ]
        )
        return
    print_table(
        make_table(
            counted(len(found), "layer"),
            pd.DataFrame(
                {
                    "layer": [layer.name for layer in found],
                    "kind": [layer.kind for layer in found],
                    "LayerMem": ["yes" if layer.state else "" for layer in found],
                    "UnitMem": ["yes" if layer.units else "" for layer in found],
                }
            ),
            [text("layer"), text("kind"), text("LayerMem"), text("UnitMem")],
        )
    )


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
    print(f"Next: lightly-memloc layer-mem {run.folder}")


def _show_runs(runs: "Runs", n_runs: int, as_json: bool) -> None:
    folders = [runs.folder / name for name in runs.names]
    if not _saved(folders):
        return
    if as_json:
        print_json({"runs": [str(folder) for folder in folders]})
        return
    say(f"Trained {n_runs} pairs: saved to {runs.folder}.")
    print(f"Next: lightly-memloc ssl-mem {runs.folder}")


def _saved(folders: Sequence[Path]) -> bool:
    """Plot what callbacks measured, in the one process that also prints."""
    from lightly_memloc.report import save_epochs
    from lightly_memloc.runtime import rank_and_world_size

    rank, _ = rank_and_world_size()
    for folder in folders if rank == 0 else ():
        save_epochs(folder)
    return rank == 0
