"""Commands that prepare a study: split, layers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightly_memloc.cli.encoder import Model
from lightly_memloc.cli.images import ImagesGroup
from lightly_memloc.cli.options import (
    OUTPUT,
    AllowDuplicates,
    Data,
    Json,
    Layers,
    Seed,
    a_file,
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
    from numpy.typing import NDArray

    from lightly_memloc.data import MemorizationSplit

ROLES_PANEL = "Roles of the images"


@dataclass(frozen=True)
class RolesGroup:
    """Sizes of the roles in a random split."""

    candidate: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=ROLES_PANEL,
            help="Number of candidates. \\[default: a tenth of the images]",
        ),
    ] = None
    independent: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=ROLES_PANEL,
            help="Number of independent images. \\[default: a tenth of the images]",
        ),
    ] = None
    external: Annotated[
        int | None,
        typer.Option(
            min=0,
            rich_help_panel=ROLES_PANEL,
            help="Number of external images. \\[default: a tenth of the images]",
        ),
    ] = None
    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            rich_help_panel=ROLES_PANEL,
            help="Give no role to images that cannot be read, and list them.",
        ),
    ] = False
    groups: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=ROLES_PANEL,
            help="CSV or JSONL file with the columns filename and group: images of a "
            "group, such as a patient or a scene, have one role. \\[default: the column "
            "group of DATA, if DATA is a list with one]",
        ),
    ] = None
    allow_duplicates: AllowDuplicates = False

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
            self.groups_of(dataset),
        )

    def groups_of(self, dataset: Any) -> "NDArray[Any] | None":
        """Read the group of each image from the file given, if one is."""
        from lightly_memloc.data import filename_of, read_groups

        if self.groups is None:
            return None
        names = [filename_of(dataset, index) for index in range(len(dataset))]
        return read_groups(self.groups, names)

    def without_role(self, dataset: Any) -> list[int]:
        """Find the images that get no role, and list them on standard error."""
        from lightly_memloc.data import filename_of, unreadable_images

        if not self.skip_unreadable:
            return []
        unreadable = unreadable_images(dataset)
        print_skipped(filename_of(dataset, index) for index in unreadable)
        return unreadable


def split(
    data: Data,
    roles: RolesGroup,
    out: Annotated[
        Path,
        typer.Option(
            callback=a_file, rich_help_panel=OUTPUT, help="The file to write."
        ),
    ] = Path("split.json"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Assign a role to each image of a data set, at random.

    Encoder f is trained on shared and candidate images, and g on shared and independent
    images. Neither is trained on external images. The remaining images are shared.

    Identical images in different roles are refused, and near-duplicates are listed.
    """
    from lightly_memloc.data import ROLES, open_dataset, refuse_duplicates

    dataset = open_dataset(data)
    drawn = roles.draw(dataset, seed)
    refuse_duplicates(dataset, drawn, roles.allow_duplicates)
    drawn.save(out)
    sizes = {role: len(getattr(drawn, role)) for role in ROLES}
    if as_json:
        print_json({"split": str(out), "n": drawn.n} | sizes)
        return
    say(f"{', '.join(f'{n} {role}' for role, n in sizes.items())}: saved to {out}.")


def views(
    images: ImagesGroup,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|DATA]",
            help="A run folder; or a folder or a list of images, with --transform.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            callback=a_file, rich_help_panel=OUTPUT, help="The PNG file to write."
        ),
    ] = Path("views.png"),
    seed: Seed = 0,
) -> None:
    """Draw four images with four views each, as the encoder sees them.

    Look at them before you measure: memorisation shows under the augmentation and the
    normalization of the encoder's training.
    """
    from lightly_memloc.report import save_views
    from lightly_memloc.training import Run

    if source is not None and Run.is_run(source):
        images.refuse_for_run()
        study = Run(source, images.data).study(seed=seed)
    else:
        study, _ = images.study(source, None, seed=seed)
    save_views(study, out)
    say(f"Saved the views to {out}.")


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
    rows = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "state": layer.state is not None,
            "units": layer.units is not None,
        }
        for layer in found
    ]
    if as_json:
        print_json(rows)
        return
    measured = {"state": "LayerMem", "units": "UnitMem"}
    shown = pd.DataFrame(rows).rename(columns=measured)
    shown = shown.replace({True: "yes", False: ""})
    print_table(
        make_table(
            counted(len(found), "layer"), shown, [text(name) for name in shown.columns]
        )
    )
