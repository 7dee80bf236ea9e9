"""Names are data: in the terminal, in messages, on the page and in figures."""

import html
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lightly_memloc as memloc
from lightly_memloc.data import open_dataset
from lightly_memloc.report import report_of
from lightly_memloc.runtime import printable, tracked
from tests.cli.commands import invoke

ESCAPE = "\x1b[2J\x1b]0;title\x07\x1b[31m"
LAYER = f"conv[red]{ESCAPE}\n<b>"
LABEL = f"[bold]cats{ESCAPE}"
NAMES = [
    f"{number:02d}{'[/] [red]' if number % 2 else ESCAPE}\nline{number}.png"
    for number in range(40)
]


class Encoder(nn.Module):
    """Layers may be called anything."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.add_module(LAYER, nn.Conv2d(3, 8, 3))
        self.add_module("linear\u202e", nn.Linear(8, 4))

    def forward(self, x):
        first, last = self.children()
        return last(first(x).relu().mean((2, 3))).relu()


def transform(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    left, top = torch.randint(4, (2,)).tolist()
    return pixels[:, top : top + 16, left : left + 16]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names") / f"all{ESCAPE}"
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        path = folder / (LABEL if number % 2 else "dogs") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture(scope="module")
def measured(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured") / f"study{ESCAPE}"
    dataset = open_dataset(str(images))
    split = memloc.MemorizationSplit.of_dataset(dataset, 12, 12, 12)
    f, g = Encoder().eval(), Encoder(1).eval()
    results = {
        "layer-mem": memloc.measure_layer_mem(
            f, g, dataset, split, transform, n_views=2
        ),
        "unit-mem": memloc.measure_unit_mem(
            f, dataset, transform, reference=g, split=split, n_views=2
        ),
        "class-mem": memloc.measure_class_mem(
            f, dataset, transform, indices=split.candidate, n_views=2
        ),
    }
    for name, result in results.items():
        result.save(folder / name)
    return folder, results


def assert_shown(text):
    """Nothing acts on a terminal: lines end where the program ends them."""
    for character in text:
        assert character == "\n" or character.isprintable(), repr(character)


def test_the_terminal(measured, images, run):
    folder, results = measured
    code, out, err = run("report", folder, "--data", images)
    assert (code, err) == (0, "")
    assert_shown(out)
    assert "conv[red]" in out
    for result in results.values():
        for table in report_of(result).tables():
            for row in table.rows:
                assert all(cell == printable(cell) for cell in row)


def test_the_page(measured, images, browser):
    folder, _ = measured
    assert invoke("report", folder, "--data", images, "--out", folder / "p.html") == 0
    page = (folder / "p.html").read_text(encoding="utf-8")
    assert_shown(page)
    # Neither markup of names nor their line breaks are the page's.
    assert "<b>" not in page
    assert html.escape(printable(LAYER)) in page
    with browser.new_page() as opened:
        opened.goto((folder / "p.html").as_uri())
        shown = opened.inner_text("body")
        layers = opened.locator("#layer option").all_inner_texts()
        counts = opened.locator(".gallery button").all_inner_texts()
    assert printable(LAYER) in shown
    assert printable(LAYER) in layers
    assert any("unit" in of and "no" not in of for of in counts)


def test_figures(measured):
    _, results = measured
    for result in results.values():
        for name in result.figures():
            figure, _ = result.plot(name)
            figure.canvas.draw()
            texts = [of.get_text() for of in figure.findobj(match=_has_text)]
            for text in texts:
                assert_shown(text)


def _has_text(artist):
    return hasattr(artist, "get_text")


def test_messages(images, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad"
    shutil.copytree(images, bad)
    (bad / LABEL / f"x{ESCAPE}\n.png").write_bytes(b"no image")
    code, _, err = run("split", bad, "--candidate", 6, "--skip-unreadable")
    assert code == 0
    assert_shown(err)
    for arguments in (
        ("split", bad, "--candidate", 6, "--independent", 300),
        ("report", tmp_path / f"no{ESCAPE}"),
        ("layer-mem", f"no{ESCAPE}\nrun"),
        ("layers", "--model", f"no{ESCAPE}:\nmodel"),
        (f"command{ESCAPE}",),
        ("split", bad, f"--option{ESCAPE}"),
        ("split", bad, "--candidate", f"many{ESCAPE}"),
        ("train", bad, "--out", "x", "--method", f"[red]{ESCAPE}"),
    ):
        code, out, err = run(*arguments)
        assert code == 2
        assert_shown(out + err)


def test_commands_to_copy(images, run, tmp_path):
    out_folder = tmp_path / f"a b{ESCAPE}"
    split = tmp_path / "split.json"
    run("split", images, "--candidate", 8, "--out", split)
    _, out, _ = run("unit-mem", images, *own_encoder(tmp_path), "--out", out_folder)
    (line,) = [line for line in out.splitlines() if line.startswith("As a page")]
    assert_shown(line)
    assert f"report '{tmp_path}/a b" in line


def own_encoder(tmp_path):
    torch.save(Encoder().state_dict(), tmp_path / "encoder.pt")
    return (
        *("--model", "tests.cli.test_output_names:Encoder"),
        *("--transform", "simclr"),
        *("--checkpoint", tmp_path / "encoder.pt", "--views", 2, "--input-size", 16),
    )


def test_progress(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(tracked([1, 2], 2, f"Tuning {LAYER}"))
    err = capsys.readouterr().err
    assert "conv[red]" in err
    assert "title\x07" not in err
