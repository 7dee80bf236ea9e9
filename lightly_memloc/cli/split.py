"""The split command: roles for the images of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from lightly_memloc.cli.options import (
    Candidates,
    Data,
    Externals,
    Independents,
    Json,
    Seed,
    SkipUnreadable,
)
from lightly_memloc.cli.output import print_json, say
from lightly_memloc.cli.roles import Roles


def split(
    data: Data,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("split.json"),
    candidate: Candidates = None,
    independent: Independents = None,
    external: Externals = None,
    seed: Seed = 0,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Give each image of a data set one role, at random.

    Encoder f is trained on shared and candidate images, g on shared and independent
    ones; external images are seen by neither. What gets no other role is shared.
    """
    from lightly_memloc.data import ROLES, open_dataset

    wanted = Roles(candidate, independent, external, skip_unreadable)
    roles = wanted.split(open_dataset(data), seed)
    roles.save(out)
    sizes = {role: len(getattr(roles, role)) for role in ROLES}
    if as_json:
        print_json({"split": str(out), "n": roles.n} | sizes)
        return
    say(f"{', '.join(f'{n} {role}' for role, n in sizes.items())}: saved to {out}.")
