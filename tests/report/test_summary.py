import re
import shlex
from dataclasses import replace
from html import unescape

from lightly_memloc import load_result
from lightly_memloc.report import report_of, write_report
from tests.report.shown import COMMITTED, atlas


def test_the_summary_says_what_was_measured_and_what_not_to_conclude(page_file):
    text = page_file.read_text(encoding="utf-8")
    assert "f was trained on 12 shared and 13 candidate images" in text
    assert "one pair of trainings" in text
    assert "<code>lightly-memloc class-mem" in text
    assert '<th scope="row">training.backbone</th><td>resnet9-slim</td>' in text


def test_results_of_one_kind_are_told_apart(tmp_path):
    page = write_report(COMMITTED / "interventions", tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    for result in ("exchange-1", "exchange-3"):
        assert f"<li>{result}: exchange: no strategy changes accuracy" in text
    assert "<li>After tuning to an image, UnitMem is higher in 18 of 18 units" in text


def test_what_is_found_stands_in_its_section(run, opened):
    for result in ("layer-mem", "unit-mem"):
        words = report_of(load_result(run / result)).words()
        assert opened.page.locator(f"#result-{result} > p").inner_text() == words
        assert words in opened.page.inner_text("#summary")


def test_the_command_for_more_runs_has_the_settings_of_this_one(page_file):
    (command,) = re.findall(
        r"<code>(lightly-memloc train .*)</code>", page_file.read_text(encoding="utf-8")
    )
    arguments = shlex.split(unescape(command))
    asked = dict(zip(arguments[3::2], arguments[4::2], strict=True))
    assert asked == {
        "--method": "simclr",
        "--backbone": "resnet9-slim",
        "--epochs": "1",
        "--batch-size": "8",
        "--learning-rate": "0.001",
        "--input-size": "16",
        "--runs": "6",
        "--out": "RUNS",
    }


def test_an_encoder_of_ones_own_shows_its_images_and_settings(run, tmp_path):
    unit_mem_of_run = load_result(run / "unit-mem")
    source = {"data": str(run.parent / "images"), "model": "package:make"}
    source["split"] = "my split.json"
    own = replace(
        unit_mem_of_run, settings={**unit_mem_of_run.settings, "source": source}
    )
    own.save(tmp_path / "unit-mem")
    page = write_report(tmp_path)
    assert all(image["picture"] for image in atlas(page)["images"])
    text = page.read_text(encoding="utf-8")
    assert "<td>package:make</td>" in text
    (command,) = re.findall(r"<code>(.*)</code>", text)
    assert shlex.split(unescape(command)) == [
        *("lightly-memloc", "layer-mem", source["data"], "--model", "package:make"),
        *("--split", "my split.json", "--out", str(tmp_path / "layer-mem")),
    ]
    alone = write_report(tmp_path / "unit-mem").read_text(encoding="utf-8")
    assert f"<code>{command}</code>" in alone
