import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightly_memloc.cli.app import app

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).parent / "lightly-memloc"


def completed(*words):
    """What a shell offers for the last of the words."""
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
