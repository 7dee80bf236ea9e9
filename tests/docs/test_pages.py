"""All code of the tutorials and how-to pages runs, as it stands, page by page.

Where a page starts no other processes, the digits are the first 500, which is enough
for each role that a page asks for.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from page_blocks import page_blocks
from sklearn.datasets import load_digits
from sklearn.utils import Bunch
from typer.testing import CliRunner

from lightly_memloc.cli.app import app
from lightly_memloc.evaluators import EVALUATORS
from lightly_memloc.results import Result

DOCS = Path(__file__).parents[2] / "docs"
WITHOUT_CODE = DOCS / "how-to" / "which-measurement.md"
PAGES = sorted(
    {*(DOCS / "tutorials").glob("*.md"), *(DOCS / "how-to").glob("*")} - {WITHOUT_CODE}
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}"
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, environment):
    monkeypatch.chdir(tmp_path)
    # What a page registers is gone after it.
    monkeypatch.setattr(EVALUATORS, "_registered", dict(EVALUATORS._registered))
    monkeypatch.setattr(Result, "kinds", dict(Result.kinds))
    blocks = page_blocks(page.read_text())
    if all(runs_here(block.text) for block in blocks if block.language == "bash"):
        monkeypatch.setattr("lightly_memloc.data.digits.load_digits", few_digits)
    names = {"__name__": "__main__"}
    ran = 0
    for block in blocks:
        if block.title is not None:
            Path(block.title).write_text(block.text)
        elif block.language == "python":
            # Errors name the line of the page.
            code = "\n" * block.line + block.text
            exec(compile(code, str(page), "exec"), names)
            ran += 1
        elif block.language == "bash":
            run_commands(block.text, environment)
            ran += 1
    assert ran >= 2


def few_digits():
    digits = load_digits()
    return Bunch(images=digits.images[:500], target=digits.target[:500])


def commands(code):
    return code.replace("\\\n", " ").splitlines()


def runs_here(code):
    # Lightning starts further processes from the script that runs: not from pytest.
    ours = all(line.startswith("lightly-memloc ") for line in commands(code))
    return ours and "--devices" not in code


def run_commands(code, environment):
    if not runs_here(code):
        run = subprocess.run(
            ["bash", "-e", "-c", code], env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return
    # In this process: importing torch takes most of a command's time.
    for line in commands(code):
        run = CliRunner().invoke(app, shlex.split(line)[1:])
        assert run.exit_code == 0, f"{line}\n{run.output}\n{run.exception!r}"


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}"
)
def test_no_code_of_a_page_is_overlooked(page):
    fences = re.findall(r"^\s*(```|~~~)", page.read_text(), flags=re.MULTILINE)
    blocks = [b for b in page_blocks(page.read_text()) if b.language is not None]
    assert len(fences) == 2 * len(blocks)
    assert {block.language for block in blocks} <= {"python", "bash", "toml"}
