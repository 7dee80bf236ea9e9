from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from lightly_memloc.cli.options import flattened


@dataclass(frozen=True)
class Sizes:
    height: Annotated[int, typer.Option(min=1, help="Height.")] = 3
    width: Annotated[int, typer.Option("--broad", help="Width.")] = 5


@dataclass(frozen=True)
class Boxes(Sizes):
    depth: Annotated[int, typer.Option(help="Depth.")] = 7


DEEP = Boxes(depth=11)


def box(
    name: Annotated[str, typer.Argument()],
    sizes: Boxes = DEEP,
    colors: Annotated[list[str] | None, typer.Option("--color")] = None,
) -> None:
    print(name, sizes, colors)


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(flattened(box))
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("arguments", "sizes", "colors"),
    [
        ((), Boxes(3, 5, 11), None),
        (("--height", "2", "--depth", "4"), Boxes(2, 5, 4), None),
        (("--broad", "6", "--color", "a", "--color", "b"), Boxes(3, 6, 11), ["a", "b"]),
    ],
)
def test_a_command_gets_its_groups(run, arguments, sizes, colors):
    result = run("name", *arguments)
    assert (result.exit_code, result.output) == (0, f"name {sizes} {colors}\n")


def test_options_of_a_group_are_checked_as_others_are(run):
    result = run("name", "--height", "0")
    assert result.exit_code == 2
    assert "greater than or equal to 1" in result.output


def test_help_shows_the_defaults_of_this_command(run):
    help_text = " ".join(run("--help").output.split())
    for option, default in (("--height", 3), ("--broad", 5), ("--depth", 11)):
        after = help_text[help_text.index(option) :]
        assert after[after.index("[default:") :].startswith(f"[default: {default}]")


def test_two_groups_cannot_share_an_option():
    def twice(one: Sizes, other: Boxes) -> None:
        pass

    with pytest.raises(ValueError, match="height"):
        flattened(twice)
