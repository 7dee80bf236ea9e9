"""What commands write to terminals and to pipes, each in a process of its own."""

import json
import multiprocessing
import os
import re
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightly_memloc import load_result
from lightly_memloc.cli import app
from lightly_memloc.report import report_of
from tests.cli import encoder

pytestmark = pytest.mark.slow

fcntl = pytest.importorskip("fcntl", reason="there are no pseudo-terminals")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

ROOT = Path(__file__).parents[2]
ANALYSIS = ROOT / "docs/results/interventions/analysis"
MAIN = "from lightly_memloc.cli.app import main; main()"
ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
OWN = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI"}


def read(end):
    """All that is written to the other end, with a terminal's line ends as usual."""
    parts = []
    while True:
        try:
            parts.append(os.read(end, 65536))
        except OSError:  # So a terminal tells that its other end is closed.
            break
        if not parts[-1]:
            break
    os.close(end)
    return b"".join(parts).decode().replace("\r\n", "\n")


def run(*arguments, terminals=(), width=80, **environment):
    """Exit code, standard output and error; those named are terminals.

    The process is a copy of this one, which has imported torch.
    """
    streams = [
        pty.openpty() if name in terminals else os.pipe() for name in ("out", "err")
    ]
    for (_, theirs), name in zip(streams, ("out", "err"), strict=True):
        if name in terminals:
            size = struct.pack("HHHH", 24, width, 0, 0)
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    ours, theirs = zip(*streams, strict=True)
    process = multiprocessing.get_context("fork").Process(
        target=_main, args=(arguments, theirs, environment)
    )
    process.start()
    for end in theirs:
        os.close(end)
    with ThreadPoolExecutor(2) as readers:
        out, err = readers.map(read, ours)
    process.join()
    return process.exitcode, out, err


def _main(arguments, streams, environment):
    for name in OWN & set(os.environ):
        del os.environ[name]
    os.environ.update({"TERM": "xterm-256color"} | environment)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdout, sys.stderr = (os.fdopen(of, "w", encoding=encoding) for of in (1, 2))
    warnings.resetwarnings()
    sys.argv = ["lightly-memloc", *map(str, arguments)]
    app.main()


def colors(text):
    """The colour codes in a text, which NO_COLOR forbids; bold is none."""
    codes = [
        int(code)
        for match in ESCAPE.finditer(text)
        if match[2] == "m"
        for code in match[1].split(";")
        if code
    ]
    return [code for code in codes if code >= 30]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An encoder and images of one's own, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    torch.save(encoder.make().state_dict(), folder / "f.ckpt")
    weights = torch.load(folder / "f.ckpt", weights_only=True)
    weights.pop(list(weights)[-1])
    torch.save(weights, folder / "partial.ckpt")
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        path = folder / "images" / f"class{number % 2}" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(pixels).save(path)
    (path.parent / UNREADABLE).write_bytes(b"no image")
    return folder


UNREADABLE = "a-name-that-is-longer-than-a-line-of-a-terminal-" * 3 + ".png"


def unit_mem(own, *more, checkpoint="f.ckpt"):
    arguments = ["unit-mem", own / "images", "--model", "tests.cli.encoder:make"]
    arguments += ["--transform", "simclr"]
    arguments += ["--checkpoint", own / checkpoint, "--views", 2, "--skip-unreadable"]
    return [*arguments, "--input-size", 16, *more]


def test_a_pipe_gets_text_alone(own):
    ran = subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, unit_mem(own))],
        capture_output=True,
        text=True,
        env={name: of for name, of in os.environ.items() if name not in OWN}
        | {"PYTHONPATH": str(ROOT)},
    )
    code, out, err = ran.returncode, ran.stdout, ran.stderr
    assert code == 0
    assert "\x1b" not in out + err
    assert "\r" not in out + err
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("UnitMem")
    # The name is in one piece, to be found with grep.
    assert err.splitlines() == [f"Skipped 1 unreadable image: class1/{UNREADABLE}."]


def test_json_is_one_document_whatever_is_said_beside_it(own):
    arguments = unit_mem(own, "--allow-partial", "--json", checkpoint="partial.ckpt")
    code, out, err = run(*arguments, terminals=["err"])
    assert code == 0
    document = json.loads(out)
    assert document["settings"]["skipped"] == [f"class1/{UNREADABLE}"]
    assert "Warning:" in err
    assert "Measuring" in err  # The progress bar.
    assert colors(err)


def test_no_color_is_respected(own):
    arguments = unit_mem(own, "--allow-partial", checkpoint="partial.ckpt")
    code, out, err = run(*arguments, terminals=["out", "err"], NO_COLOR="1")
    assert code == 0
    assert "Warning:" in err
    assert "Measuring" in err
    assert "Measuring" not in out
    assert not colors(out + err)


def test_a_terminal_shows_what_a_pipe_gets(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    code, shown, err = run("report", ANALYSIS, terminals=["out", "err"])
    assert (code, err) == (0, "")
    assert "\x1b[1m" in shown
    assert ESCAPE.sub("", shown) == reported(monkeypatch, capsys)


def test_without_unicode_the_numbers_are_shown(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    code, shown, err = run("report", ANALYSIS, PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    expected = reported(monkeypatch, capsys)
    assert shown == expected.encode("ascii", "replace").decode()
    assert shown != expected


def reported(monkeypatch, capsys):
    """What is printed in this process, to no terminal."""
    monkeypatch.setattr(sys, "argv", ["lightly-memloc", "report", str(ANALYSIS)])
    with pytest.raises(SystemExit, match="0"):
        app.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_columns_are_respected(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    out = reported(monkeypatch, capsys)
    assert "…" not in out
    if columns >= 80:
        assert max(map(len, out.splitlines())) <= columns
    words = set(out.split())
    for table in report_of(load_result(ANALYSIS)).tables():
        for row in table.rows:
            assert set(" ".join(row[1:]).split()) <= words


def test_the_progress_of_a_training_is_on_standard_error(own, tmp_path):
    out = tmp_path / "-".join(["longer-than-a-line"] * 5)
    arguments = ["train", own / "images", "--epochs", 1, "--backbone", "resnet9-slim"]
    arguments += ["--input-size", 16, "--batch-size", 4, "--candidate", 3, "--out", out]
    arguments += ["--skip-unreadable"]
    code, said, err = run(*arguments, terminals=["err"])
    assert code == 0, err
    assert "epoch" in err
    assert re.fullmatch(
        r"Trained f on \d+ and g on \d+ images \(final losses [\d.]+ and [\d.]+\): "
        rf"saved to {re.escape(f'{out}. Next: lightly-memloc layer-mem {out}')}",
        " ".join(said.split()),
    )
    # Commands and paths are in one piece, to be copied.
    lines = said.splitlines()
    assert lines[-1] == f"Next: lightly-memloc layer-mem {out}"
    assert f"{out}." in lines
