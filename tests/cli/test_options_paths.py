"""Paths that commands are given: checked before work begins, and never replaced."""

import os
import subprocess
import sys

import pytest

from tests.cli.commands import MEASURE, invoke, train

RUN_OR_RESULT = [
    ("layer-mem", "RUN"),
    ("unit-mem", "RUN"),
    ("class-mem", "RUN"),
    ("measure", "unit_mem", "RUN"),
    ("probe", "RUN"),
    ("prune", "RUN"),
    ("finetune", "RUN"),
    ("exchange", "RUN"),
    ("tune-unit", "RUN"),
    ("curate", "RUN"),
    ("analyze", "RUN"),
    ("ssl-mem", "RUN"),
    ("train", "RUN"),
    ("demo",),
]


def a_file(path):
    path.write_text("precious")


def a_pipe(path):
    os.mkfifo(path)


def a_link(path):
    path.symlink_to("nowhere")


def kept(path):
    """What stays the same while nobody writes to a path, or replaces it."""
    found = os.lstat(path)
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("make", [a_file, a_pipe, a_link])
@pytest.mark.parametrize("command", RUN_OR_RESULT, ids=lambda of: of[0])
def test_an_output_folder_that_is_none(run, tmp_path, command, make):
    make(tmp_path / "out")
    before = kept(tmp_path / "out")
    # The run does not exist: the output is looked at first.
    given = [tmp_path / "missing" if of == "RUN" else of for of in command]
    code, out, err = run(*given, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "out is not a folder" in " ".join(err.split())
    assert kept(tmp_path / "out") == before
    code, _, err = run(*given, "--out", tmp_path / "out" / "below")
    assert code == 2
    assert "out is not a folder" in " ".join(err.split())


@pytest.mark.parametrize("command", [("split", "digits"), ("report", "RUN")])
def test_an_output_file_that_is_a_folder(run, tmp_path, command):
    given = [tmp_path / "missing" if of == "RUN" else of for of in command]
    code, _, err = run(*given, "--out", tmp_path)
    assert code == 2
    assert f"{tmp_path} is a folder. Expected a file" in err


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder_everywhere(run, home, images, trained):
    (home / "images").symlink_to(images)
    (home / "measured").symlink_to(trained)
    assert run("split", "~/images", "--candidate", 8, "--out=~/split.json")[0] == 0
    assert (home / "split.json").is_file()
    assert run(*train("~/images", "~/run"))[0] == 0
    assert (home / "run" / "f.ckpt").is_file()
    out = run("unit-mem", "~/measured", *MEASURE, "--out=~/units")[1]
    assert f"{home}/units" in out
    page = ("report", "~/units", "--data=~/images", "--out=~/page.html")
    assert run(*page)[0] == 0
    assert (home / "page.html").is_file()
    assert not (home.parent / "~").exists()


def test_the_home_folder_of_somebody_unknown(run, home):
    code, _, err = run("report", "~nobody-of-this-name/run")
    assert code == 2
    assert "the home folder of a user who is unknown" in " ".join(err.split())


def test_a_report_goes_through_a_link(run, tmp_path, trained):
    run("layer-mem", trained, *MEASURE, "--out", tmp_path / "result")
    link = tmp_path / "link.html"
    link.symlink_to("far.html")
    assert run("report", tmp_path / "result", "--out", link)[0] == 0
    assert link.is_symlink()
    assert "</html>" in (tmp_path / "far.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def result(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths") / "result"
    assert invoke("unit-mem", trained, *MEASURE, "--out", folder) == 0
    return folder


def printed(*arguments, to=subprocess.PIPE):
    program = "from lightly_memloc.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=to,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_a_report_on_standard_output_is_the_page_alone(result):
    done = printed("report", result, "--out", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.rstrip().endswith("</html>")


def test_a_report_on_standard_output_that_is_a_file(result, tmp_path):
    with (tmp_path / "page.html").open("w") as file:
        done = printed("report", result, "--out", "/dev/stdout", to=file)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_two_documents_do_not_share_standard_output(result):
    done = printed("report", result, "--out", "/dev/stdout", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Write the page to a file, or omit --json." in done.stderr


def test_a_full_disk_is_named(result):
    done = printed("report", result, "--out", "/dev/full")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "/dev/full" in done.stderr
    assert "Traceback" not in done.stderr
