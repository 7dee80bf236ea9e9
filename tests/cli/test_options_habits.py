"""What people try first: short options, narrow terminals, moved images."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tests.cli.commands import MEASURE, OWN, app, invoke

COMMANDS = sorted(
    command.name or command.callback.__name__.replace("_", "-")
    for command in app.app.registered_commands
)


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_the_short_option_for_help(run, command):
    given = () if command is None else (command,)
    short = run(*given, "-h")
    assert short == run(*given, "--help")
    assert (short[0], short[2]) == (0, "")
    assert "Usage: lightly-memloc" in short[1]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [50, 60, 80, 100])
def test_names_of_options_are_whole(run, command, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run(command, "--help")
    shown = {
        name
        for line in out.splitlines()
        for word in line.split()
        for name in word.strip("│").split(",")
    }
    parameters = get_command(app.app).commands[command].params
    names = {of for option in parameters for of in option.opts if of.startswith("-")}
    assert {"--help", "-h"} <= names | shown
    assert names <= shown
    assert max(map(len, out.splitlines())) <= width


def test_the_module_is_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "lightly_memloc", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("lightly-memloc ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("measure", "nothing", "RUN"),
        ("probe", "RUN", "--probe", "nothing"),
        ("prune", "RUN", "--probe", "nothing"),
        ("train", "digits", "--out", "x", "--callback", "nothing"),
    ],
)
def test_messages_name_no_entry_points(run, trained, arguments):
    code, _, err = run(*(trained if of == "RUN" else of for of in arguments))
    assert code == 2
    assert "nothing" in err
    assert "memloc." not in err


@pytest.fixture
def moved(trained, images, tmp_path):
    """A run whose images were moved, and where they are now."""
    shutil.copytree(trained, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    gone = tmp_path / "gone"
    config.write_text(text.replace(str(images), str(gone)), encoding="utf-8")
    (tmp_path / "now").symlink_to(images)
    return tmp_path / "run", tmp_path / "now", gone


FEW = ("--trials", 1, "--epochs", 1)
READING = {
    "layer-mem": MEASURE,
    "unit-mem": MEASURE,
    "class-mem": MEASURE,
    "probe": (),
    "prune": (*MEASURE, "--trials", 1),
    "finetune": FEW,
    "exchange": (),
    "tune-unit": (
        *("--views", 2, "--layers", "layer3.head.conv", "--n-units", 1, "--steps", 2),
    ),
    "curate": ("--top-k", 2, "--views", 2),
}


@pytest.mark.parametrize("command", READING)
def test_moved_images(run, moved, command):
    folder, now, gone = moved
    code, _, err = run(command, folder, *READING[command])
    assert code == 2
    said = " ".join(err.split())
    assert f"are not at {gone}, where {folder / 'config.yaml'} says" in said
    assert "(--data)" in said
    code, _, err = run(command, folder, *READING[command], "--data", now)
    assert code == 0, err


def test_moved_images_of_several_runs(run, several, images, tmp_path):
    shutil.copytree(several, tmp_path / "runs")
    for config in (tmp_path / "runs").glob("*/config.yaml"):
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace(str(images), str(tmp_path / "gone")))
    folder = tmp_path / "runs"
    code, _, err = run("ssl-mem", folder, *MEASURE)
    assert code == 2
    assert f"are not at {tmp_path / 'gone'}" in " ".join(err.split())
    for command in (
        ("ssl-mem", folder, *MEASURE),
        ("exchange", folder),
        ("curate", folder, "--top-k", 2),
    ):
        assert run(*command, "--data", images)[0] == 0


def test_other_images_are_refused_wherever_they_are(run, moved, tmp_path, images):
    folder, now, _ = moved
    assert run("layer-mem", folder, *MEASURE, "--data", now)[0] == 0
    shutil.copytree(images, tmp_path / "others")
    first = sorted((tmp_path / "others").glob("*/*.png"))
    for one, other in zip(first[::2], first[1::2], strict=True):
        shutil.copy(one, other)
    assert run("layer-mem", folder, *MEASURE, "--data", tmp_path / "others")[0] == 2
    code, _, err = run("report", folder, "--data", tmp_path / "others")
    assert code == 2
    assert "The images are not those that were measured" in " ".join(err.split())


def test_data_of_a_custom_encoder_is_the_argument(run, images, trained):
    code, _, err = run(
        *("unit-mem", images, *OWN),
        *("--checkpoint", trained / "f.ckpt", "--data", images),
    )
    assert code == 2
    assert "the images are the argument itself" in " ".join(err.split())


@pytest.mark.parametrize("command", ["report", "membership", "analyze"])
def test_measure_first(run, trained, tmp_path, command):
    (tmp_path / "a run").mkdir()
    for path in filter(Path.is_file, trained.iterdir()):
        shutil.copy(path, tmp_path / "a run")
    code, _, err = run(command, tmp_path / "a run")
    assert code == 2
    said = f"Measure first: lightly-memloc layer-mem '{tmp_path}/a run'"
    assert said in " ".join(err.split())


def test_measure_first_over_runs_and_elsewhere(run, several, tmp_path):
    shutil.copytree(
        several, tmp_path / "runs", ignore=shutil.ignore_patterns("ssl-mem")
    )
    code, _, err = run("report", tmp_path / "runs")
    assert code == 2
    assert f"Measure first: lightly-memloc ssl-mem {tmp_path}" in " ".join(err.split())
    (tmp_path / "empty").mkdir()
    code, _, err = run("report", tmp_path / "empty")
    assert code == 2
    assert "expected a run folder" in err


def test_labelled_images_are_no_moved_images(trained, images):
    arguments = ("finetune", trained, "--labelled", images, *FEW)
    assert invoke(*arguments, "--data", images) == 0
