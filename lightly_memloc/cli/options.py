"""Options that commands share, alone or in groups, and how groups reach typer."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime.bounds import refuse_outside
from lightly_memloc.runtime.files import refuse_no_folder

EXECUTION, OUTPUT = "Execution", "Output"


def _of_32_bits(value: int) -> int:
    """Refuse seeds that not all random generators take."""
    refuse_outside("--seed", value, at_most=2**32 - 1)
    return value


Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN|DATA]",
        help="A run folder written by `train`. With --model and --checkpoint: a folder "
        "or a list of images, or 'digits', unless --members is given.",
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of images, with one subfolder per class if there are classes; "
        "a .txt, .csv or .jsonl file that lists image files (columns filename and, if "
        "known, label and group); or 'digits', the embedded data set.",
    ),
]
RunOrRuns = Annotated[
    str,
    typer.Argument(
        metavar="RUN|RUNS",
        help="A run folder; or a folder of runs written by `train --runs K`, in which "
        "each run is one trial.",
    ),
]
MovedData = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Where the images of the run are now, if they were moved. \\[default: "
        "where they were when it was trained]",
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        help="Layers by name, glob (layer4.*) or kind (attention). May be repeated. "
        "\\[default: all]"
    ),
]
Views = Annotated[int, typer.Option("--views", min=2, help="Views per image.")]
Seed = Annotated[int, typer.Option(min=0, callback=_of_32_bits, help="Random seed.")]
Trials = Annotated[
    int,
    typer.Option(min=1, help="Trials on a single run, each with its own random seed."),
]
NumLayers = Annotated[
    int, typer.Option("--n-layers", min=1, help="Number of layers to change.")
]
ProbeName = Annotated[
    str, typer.Option(help="Probe to train: logistic, knn, linear or finetune.")
]
AllowDuplicates = Annotated[
    bool,
    typer.Option(
        "--allow-duplicates",
        rich_help_panel=EXECUTION,
        help="Accept identical images of different roles, with a warning.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        rich_help_panel=OUTPUT,
        help="Print one JSON document and nothing else.",
    ),
]


def finite(param: typer.CallbackParam, value: float | None) -> float | None:
    """Refuse numbers that are not finite or not positive, before a command begins.

    Args:
        param: The option.
        value: Its value; None if it was not given.
    """
    if value is not None:
        refuse_outside(max(param.opts, key=len), value, above=0)
    return value


def a_folder(value: Path | None) -> Path | None:
    """Refuse an output that cannot be a folder, before a command begins.

    Args:
        value: The folder; it need not exist. None if it was not given.
    """
    place: Path | None = _at_home(value)
    if place is not None:
        refuse_no_folder(place)
    return place


def a_file(value: Path | None) -> Path | None:
    """Refuse an output that cannot be a file, before a command begins.

    Args:
        value: The file; it need not exist. None if it was not given.
    """
    place: Path | None = _at_home(value)
    if place is not None:
        if place.is_dir():
            raise MemorizationError(
                f"{place} is a folder. Expected a file, such as {place / 'FILE'}."
            )
        refuse_no_folder(place.parent)
    return place


@dataclass(frozen=True)
class ViewsGroup:
    """What is measured: which layers, on which views."""

    layers: Layers = None
    views: Views = 10
    seed: Seed = 0


@dataclass(frozen=True)
class DeviceGroup:
    """Where a command runs."""

    num_workers: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=EXECUTION,
            help="Worker processes that load images.",
        ),
    ] = 0
    device: Annotated[
        str,
        typer.Option(
            rich_help_panel=EXECUTION,
            help="Torch device, such as cpu, cuda:1 or mps; auto prefers a GPU.",
        ),
    ] = "auto"


@dataclass(frozen=True)
class BatchGroup(DeviceGroup):
    """Where a command runs, and how many images at a time."""

    batch_size: Annotated[
        int, typer.Option(min=1, rich_help_panel=EXECUTION, help="Images per batch.")
    ] = 64


@dataclass(frozen=True)
class PassGroup(BatchGroup):
    """How a pass over the images runs."""

    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            rich_help_panel=EXECUTION,
            help="Skip images that cannot be read, and list them.",
        ),
    ] = False
    allow_duplicates: AllowDuplicates = False


@dataclass(frozen=True)
class OutputGroup:
    """Where a result goes."""

    out: Annotated[
        Path | None,
        typer.Option(
            callback=a_folder,
            rich_help_panel=OUTPUT,
            help="Folder for the result. \\[default: inside the run folder, if one is "
            "given]",
        ),
    ] = None
    as_json: Json = False


@dataclass(frozen=True)
class ResumableGroup(OutputGroup):
    """Where a result goes, and the state of its measurement until then."""

    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=OUTPUT,
            help="Resume an interrupted measurement from --out.",
        ),
    ] = False


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of the groups among its parameters.

    Args:
        command: A function; a parameter whose type is a dataclass is a group. The
            group's default, if it has one, provides the defaults of its options.

    Returns:
        A function with the signature that typer reads, which makes the groups and calls
        the command.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: hint for name, hint in hints.items() if is_dataclass(hint)
    }
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if name in groups:
            parameters += _options(groups[name], parameter.default)
        else:
            parameter = parameter.replace(
                kind=Parameter.KEYWORD_ONLY, annotation=hints[name]
            )
            # An argument may be left out although options without a default follow.
            if parameter.default is Parameter.empty and hints[name] == Source:
                parameter = parameter.replace(default=None)
            parameters.append(parameter)

    @wraps(command)
    def flat(**given: Any) -> None:
        values = {name: _at_home(value) for name, value in given.items()}
        made = {
            name: group(
                **{field.name: values.pop(field.name) for field in fields(group)}
            )
            for name, group in groups.items()
        }
        command(**values, **made)

    flat.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {of.name: of.annotation for of in parameters}
    return flat


def _at_home(value: Any) -> Any:
    """Expand a ``~`` that no shell expanded, as in ``--out=~/run``."""
    if not isinstance(value, str | Path) or not str(value).startswith("~"):
        return value
    try:
        expanded = Path(value).expanduser()
    except RuntimeError as error:
        raise MemorizationError(
            f"{value} begins with the home folder of a user who is unknown."
        ) from error
    return str(expanded) if isinstance(value, str) else expanded


def _options(group: Any, default: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    defaults = group if default is Parameter.empty else default
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=getattr(defaults, field.name, Parameter.empty),
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
