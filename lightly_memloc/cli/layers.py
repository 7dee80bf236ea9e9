"""The layers command: what there is to measure in an encoder."""

from typing import Annotated

import typer

from lightly_memloc.cli.options import Json, Layers, Model
from lightly_memloc.cli.output import print_json, print_table


def layers(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run folder.")
    ] = None,
    model: Model = None,
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """List the layers of an encoder, with the names that --layers understands."""
    import pandas as pd

    from lightly_memloc.errors import MemorizationError
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
            f"{len(found)} layers",
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
