import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from lightly_memloc.cli.app import app

PROGRAM = Path(sys.executable).parent / "lightly-memloc"


@pytest.mark.parametrize(
    "arguments",
    [
        ("layer-mem", "RUN", "--views", 2),
        ("unit-mem", "RUN", "--views", 2),
        ("class-mem", "RUN", "--views", 2),
        ("layers", "RUN"),
        ("split", "digits", "--out", "OUT"),
    ],
)
def test_json_is_all_that_is_printed(run, trained, tmp_path, arguments):
    places = {"RUN": trained, "OUT": tmp_path / "split.json"}
    code, out, _ = run(*(places.get(a, a) for a in arguments), "--json")
    assert code == 0
    json.loads(out)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_help_is_wrapped_for_the_terminal_alone(run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = run("demo", "--help")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("Splits the emb"))
    paragraph = lines[start : lines.index("", start)]
    words = " ".join(paragraph).split()
    for line, following in itertools.pairwise(paragraph):
        assert len(line) + 1 + len(following.split()[0]) > width - 2
    assert " ".join(words[-6:]) == "measured again, but not trained again."


def test_help_shows_the_defaults(run):
    code, out, _ = run("unit-mem", "--help")
    assert code == 0
    for default in ("[default: all]", "[default: detected]", "[default: 10]"):
        assert default in " ".join(out.replace("│", " ").split())


def test_version(run):
    assert run("--version")[1] == "lightly-memloc 0.2.0.dev0\n"


def completed(*words):
    """The completions that a shell offers for the last of the words."""
    run = subprocess.run(
        [PROGRAM],
        env=os.environ
        | {
            "_LIGHTLY_MEMLOC_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["lightly-memloc", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.parametrize("start", ["lay", "un"])
def test_commands_are_completed(start):
    names = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in app.registered_commands
    }
    expected = {name for name in names if name.startswith(start)}
    assert expected
    assert set(completed(start)) == expected


def test_options_are_completed():
    assert completed("train", "digits", "--ba") == ["--backbone", "--batch-size"]


TRAINING = {"torch", "torchvision", "pytorch_lightning", "lightly"}
TABLES = {"pandas", "matplotlib", "sklearn"}
RESULTS = Path(__file__).parents[2] / "docs/results"


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (("--version",), TRAINING | TABLES),
        (("unit-mem", "--help"), TRAINING | TABLES),
        (("report", RESULTS / "interventions/analysis", "--out", "OUT"), TRAINING),
        (("membership", RESULTS / "demo/layer-mem"), TRAINING),
        (("analyze", RESULTS / "demo", "--out", "OUT"), TRAINING),
    ],
)
def test_what_needs_no_encoder_does_not_wait_for_torch(tmp_path, arguments, unneeded):
    program = (
        "import sys\n"
        "from lightly_memloc.cli.app import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print('unneeded:', *sorted(set(sys.modules) & {unneeded}))\n"
    )
    given = [str(tmp_path / "out" if of == "OUT" else of) for of in arguments]
    ran = subprocess.run(
        [sys.executable, "-c", program, *given], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].split() == ["unneeded:"]


def test_every_option_is_explained_and_every_command_has_a_family():
    for name, command in typer.main.get_command(app).commands.items():
        assert command.rich_help_panel in {
            "Start",
            "Train",
            "Measure",
            "Compare",
            "Intervene",
            "Report",
        }
        assert command.help.split("\n\n")[0].endswith("."), name
        for parameter in command.params:
            explanation, *_ = parameter.help.split(" \\[default")
            assert explanation.endswith("."), (name, parameter.name)
