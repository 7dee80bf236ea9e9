"""The layers command: what there is to measure in an encoder."""

from typing import Annotated

import typer

from lightly_memloc.cli.options import Json, Layers, Model
from lightly_memloc.cli.output import console, print_json


def layers(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run folder.")
    ] = None,
    model: Model = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """List the layers of an encoder, with the names that --layers understands."""
    from rich.table import Table

    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.layers import find_layers
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
    table = Table(
        title=f"{len(found)} layers", title_justify="left", box=None, pad_edge=False
    )
    for column in ("layer", "kind", "LayerMem", "UnitMem"):
        table.add_column(column, overflow="fold")
    for layer in found:
        state, units = ("yes" if site else "" for site in (layer.state, layer.units))
        table.add_row(layer.name, layer.kind, state, units)
    console().print(table)
