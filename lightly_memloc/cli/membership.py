"""The membership command."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import Json
from lightly_memloc.cli.output import save_and_show


def membership(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|RESULT",
            help="A run folder that `layer-mem` has measured, or the folder of its result.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Test how well each layer tells candidates from images that nobody trained on.

    By the encoder's own alignment, and by SSLMem if there is a reference encoder.
    """
    from lightly_memloc.errors import MemorizationError
    from lightly_memloc.estimation import infer_membership
    from lightly_memloc.results import LayerMemResult, load_result
    from lightly_memloc.training import Run

    source = folder / "layer-mem" if Run.is_run(folder) else folder
    measured = load_result(source)
    if not isinstance(measured, LayerMemResult):
        raise MemorizationError(f"{source} holds no LayerMem, but {measured.kind}.")
    out = folder / "membership" if Run.is_run(folder) else None
    save_and_show(infer_membership(measured), as_json, out)
