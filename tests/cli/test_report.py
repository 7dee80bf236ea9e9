import json

import pytest


def test_report_prints_the_same_again(run, trained):
    _, first, _ = run("layer-mem", trained, "--views", 2)
    code, out, _ = run("report", trained / "layer-mem")
    assert code == 0
    assert first.split("Saved tables, JSON")[0].strip() in out
    page = trained / "layer-mem" / "report.html"
    assert page.is_file()
    assert str(page) in out.replace("\n", "")
    code, out, _ = run("report", trained, "--json")
    assert "layer-mem" in json.loads(out)


def test_demo_smoke_tells_the_whole_story(run, tmp_path, monkeypatch):
    monkeypatch.setattr("lightly_memloc.training.demo.ROLE_SIZE", 30)
    monkeypatch.setattr("lightly_memloc.training.demo.N_VIEWS", 3)
    code, out, _ = run("demo", "--smoke", "--out", tmp_path / "demo")
    assert code == 0
    assert "Images with the highest SSLMem" in out
    assert "between two halves of the external images" in " ".join(out.split())
    for name in (
        "config.yaml",
        "layer-mem/layer_mem.png",
        "layer-mem/samples.csv",
        "layer-mem/result.json",
        "unit-mem/unit_mem.png",
        "unit-mem/member_share.png",
    ):
        assert (tmp_path / "demo" / name).is_file()
    trained = (tmp_path / "demo" / "f.ckpt").stat().st_mtime_ns
    code, again, _ = run("demo", "--smoke", "--out", tmp_path / "demo")
    assert code == 0
    assert again == out
    assert (tmp_path / "demo" / "f.ckpt").stat().st_mtime_ns == trained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "nowhere"), "no folder nowhere"),
        (("report", "EMPTY"), "contains no results"),
    ],
)
def test_errors(refused, tmp_path, arguments, message):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(arguments, message, {"EMPTY": empty})
