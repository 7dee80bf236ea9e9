import json
import re
import shlex
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lightly_memloc import MemorizationSplit, load_result
from lightly_memloc.data import open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import measure_layer_mem, measure_unit_mem
from lightly_memloc.report import Saved, finding, write_report
from lightly_memloc.report.html.thumbnails import thumbnail, thumbnails
from lightly_memloc.training import Run, TrainingConfig
from tests.report.synthetic import N_TOP, Noise, layer_mem, name, unit_mem

pytestmark = pytest.mark.slow

COMMITTED = Path(__file__).parents[2] / "docs" / "results"
HOSTILE = "<img src=x onerror=alert(1)>.png"
CLASS = "<b>&'\"bold"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on images in folders, one of them with a hostile name."""
    folder = tmp_path_factory.mktemp("study")
    images, rng = folder / "images" / CLASS, np.random.default_rng(0)
    images.mkdir(parents=True)
    for number in range(48):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number:02d}.png")
    # One that dominates: it activates many units most.
    Image.new("RGB", (20, 20), "white").save(images / HOSTILE)
    source = str(folder / "images")
    dataset = open_dataset(source)
    hostile = next(i for i in range(len(dataset)) if HOSTILE in dataset[i][2])
    rest = [i for i in range(len(dataset)) if i != hostile]
    split = MemorizationSplit(
        len(dataset),
        shared=np.array(rest[:12]),
        candidate=np.sort([hostile, *rest[12:24]]),
        independent=np.array(rest[24:36]),
        external=np.array(rest[36:]),
    )
    config = TrainingConfig.for_data(
        source, backbone="resnet9-slim", epochs=1, batch_size=8, input_size=16
    )
    study = Run.train(
        folder / "run", source, split, config, callbacks=["online_unit_mem"]
    )
    f, transform = study.encoder("f"), study.transform()
    measure_layer_mem(f, study.encoder("g"), dataset, split, transform, n_views=2).save(
        study.folder / "layer-mem"
    )
    measure_unit_mem(
        f, dataset, transform, split.candidate, split.external, n_views=2
    ).save(study.folder / "unit-mem")
    return study.folder


@pytest.fixture(scope="module")
def page_file(run):
    return write_report(run)


class Opened:
    """A page with all that it asked for and complained of."""

    def __init__(self, browser, path, width=1440):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints, self.requests = [], []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(".chart svg")

    def units(self):
        return self.page.locator(".unit h3").all_inner_texts()

    def count(self):
        found, total = re.match(
            r"(\d+) of (\d+) units", self.page.inner_text("#count")
        ).groups()
        return int(found), int(total)


@pytest.fixture
def opened(browser, page_file):
    page = Opened(browser, page_file)
    yield page
    page.page.close()


def atlas(page_file):
    text = page_file.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'id="atlas-data">(.*?)</script>', text, re.DOTALL).group(1)
    )


def live_units(run):
    units = load_result(run / "unit-mem").to_pandas()
    return units[~units["dead"]]


def test_the_page_is_quiet_and_asks_for_nothing(opened, page_file):
    asked = [url for url in opened.requests if not url.startswith("data:")]
    assert asked == [page_file.as_uri()]
    assert opened.complaints == []


def test_charts_are_drawn(opened, run):
    layers = load_result(run / "layer-mem").to_pandas()
    assert opened.page.locator(".chart svg").count() == 3
    names = opened.page.locator(".chart svg").first.locator("text").all_text_contents()
    assert set(layers["layer"]) <= set(names)
    marks = opened.page.locator(".chart svg").first.locator(".mark-symbol path")
    # Four estimates a layer, and their four entries in the legend.
    assert marks.count() == 4 * len(layers) + 4
    boxes = opened.page.locator(".chart svg").nth(1).bounding_box()
    assert boxes["width"] > 600
    assert boxes["height"] > 200
    figure = opened.page.locator("#result-training-online_unit_mem img")
    assert figure.evaluate("image => image.naturalWidth") > 100


def test_a_chart_has_the_title_of_its_figure(page_file, run):
    text = page_file.read_text(encoding="utf-8")
    titles = re.findall(r'<h3>(.*)</h3>\n<div class="chart">', text)
    units = load_result(run / "unit-mem")
    figures = [
        load_result(run / "layer-mem").plot("layer_mem"),
        units.plot("unit_mem"),
        units.plot("member_share"),
    ]
    assert titles == [figure.axes[0].get_title() for figure in figures]


def test_the_figures_of_charts_are_not_drawn(page_file, run, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("drawn")

    for drawing in (
        "layer_mem.plot_layer_mem",
        "unit_mem.plot_selectivity",
        "unit_mem.plot_member_share",
    ):
        monkeypatch.setattr(f"lightly_memloc.results.{drawing}", refuse)
    page = write_report(run, tmp_path / "report.html")
    assert page.read_bytes() == page_file.read_bytes()


def test_a_hostile_file_name_is_text(opened, run):
    shown = opened.page.locator("#images .name").all_inner_texts()
    assert f"{CLASS}/{HOSTILE}" in shown
    assert opened.page.locator("img[src='x']").count() == 0
    assert opened.page.locator("b").count() == 0
    opened.page.fill("#image", "onerror")
    names = opened.page.locator("#atlas .own .name").all_inner_texts()
    assert names
    assert set(names) == {f"{CLASS}/{HOSTILE}"}
    assert opened.complaints == []


def test_units_are_those_of_the_result(opened, run):
    units = live_units(run).sort_values("unit_mem", ascending=False, kind="stable")
    assert opened.count() == (len(units), len(units))
    first = units.iloc[0]
    assert opened.units()[0] == f"{first['layer']}, unit {first['unit']}"
    text = opened.page.locator(".unit").first.inner_text()
    assert f"UnitMem {first['unit_mem']:.3f}" in text
    assert len(opened.units()) == 20
    opened.page.click("#more")
    assert len(opened.units()) == 40


def test_filter_by_layer(opened, run):
    units = live_units(run)
    layer = units["layer"].unique()[2]
    opened.page.select_option("#layer", label=layer)
    assert opened.count()[0] == (units["layer"] == layer).sum()
    assert all(name.startswith(f"{layer}, unit") for name in opened.units())


def test_filter_and_sort_by_unit_mem(opened, run):
    values = live_units(run)["unit_mem"]
    opened.page.select_option("#sort", "lowest")
    text = opened.page.locator(".unit p").first.inner_text()
    assert f"UnitMem {values.min():.3f}" in text
    middle = round(values.quantile(0.9), 2)
    opened.page.fill("#least", str(middle))
    assert opened.count()[0] == (values >= middle).sum()


def test_which_units_hold_this_image(opened, run):
    button = opened.page.locator("#images button").first
    name = button.get_attribute("data-image")
    button.click()
    held = live_units(run).query("filename == @name")
    assert opened.count()[0] == len(held)
    shown = opened.page.locator("#atlas .own .name").all_inner_texts()
    assert shown == [name] * min(20, len(held))


def test_images_are_marked_and_scored(opened, run):
    layer, unit = opened.units()[0].split(", unit ")
    top = load_result(run / "unit-mem").top_images_to_pandas()
    top = top[(top["layer"] == layer) & (top["unit"] == int(unit))]
    card = opened.page.locator(".unit").first
    assert card.locator(".role").all_inner_texts() == top["role"].tolist()
    samples = load_result(run / "layer-mem").samples_to_pandas().set_index("index")
    scores = samples.iloc[:, -1].loc[top["index"]]
    said = card.locator("figcaption").all_inner_texts()
    for text, score in zip(said, scores, strict=True):
        assert f"SSLMem {score:+.3f}" in text


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_is_readable_and_accessible(browser, page_file, width):
    from axe_playwright_python.sync_playwright import Axe

    opened = Opened(browser, page_file, width)
    found = Axe().run(opened.page).response["violations"]
    serious = [of for of in found if of["impact"] in ("serious", "critical")]
    assert [(of["id"], of["nodes"][0]["html"]) for of in serious] == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = opened.page.evaluate(
        """() => [...document.querySelectorAll('main *')]
        .filter((of) => of.checkVisibility() && of.textContent.trim() && !of.children.length)
        .filter((of) => !['SCRIPT', 'OPTION'].includes(of.tagName))
        .map((of) => parseFloat(getComputedStyle(of).fontSize))"""
    )
    assert min(sizes) >= 10
    opened.page.close()


def test_the_same_results_give_the_same_page(run, page_file, tmp_path):
    again = write_report(run, tmp_path / "sub" / "again.html")
    assert again.read_bytes() == page_file.read_bytes()


def test_what_was_read_is_not_read_again(run, page_file, tmp_path, monkeypatch):
    saved = Saved.read(run)
    monkeypatch.setattr(Saved, "read", None)
    page = write_report(saved, tmp_path / "report.html")
    assert page.read_bytes() == page_file.read_bytes()


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
    assert "<li>Tuned to an image, UnitMem rises in 18 of 18 units" in text


def test_images_that_are_gone_leave_names(run, tmp_path):
    moved = tmp_path / "run"
    shutil.copytree(run, moved)
    config = moved / "config.yaml"
    config.write_text(config.read_text().replace("/images", "/gone"))
    page = write_report(moved)
    assert "There are no thumbnails" in page.read_text(encoding="utf-8")
    assert {image["picture"] for image in atlas(page)["images"]} == {None}
    images = open_dataset(run.parent / "images")
    with_data = write_report(moved, dataset=images)
    assert all(image["picture"] for image in atlas(with_data)["images"])


@pytest.mark.parametrize("folder", ["demo", "interventions", "interventions/prune-0.5"])
def test_committed_results_have_a_page(folder, tmp_path):
    page = write_report(COMMITTED / folder, tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    results = list((COMMITTED / folder).glob("*/result.json")) or [folder]
    assert text.count("<h2>") >= len(results)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    layer_mem(600).save(folder / "layer-mem")
    unit_mem(12_000, 600).save(folder / "unit-mem")
    return write_report(folder, dataset=Noise(600)), folder


def test_a_large_page_keeps_its_weight(large):
    page, _ = large
    assert page.stat().st_size < 15e6
    shown = atlas(page)
    assert len(shown["units"]) == 10_000
    assert sum(image["picture"] is not None for image in shown["images"]) == 500
    assert "2000 units of low UnitMem are left out" in page.read_text(encoding="utf-8")


def test_the_most_memorising_units_of_each_layer_stay(large):
    page, folder = large
    units = load_result(folder / "unit-mem").to_pandas()
    shown = pd.DataFrame(atlas(page)["units"]).rename(columns={0: "layer", 1: "unit"})
    names = atlas(page)["layers"]
    kept = {
        (names[layer], unit)
        for layer, unit in zip(shown["layer"], shown["unit"], strict=True)
    }
    for layer, of in units.groupby("layer"):
        ranked = of.sort_values("unit_mem", ascending=False)["unit"]
        assert {unit for name, unit in kept if name == layer} == set(ranked[:500])


def test_a_unit_shows_its_own_image_even_after_holdout_images(tmp_path):
    measured = unit_mem(40, 100, n_layers=2)
    units = measured.tables["units"]
    units.loc[3, ["index", "filename"]] = (99, "class/000099.png")
    measured.save(tmp_path / "unit-mem")
    page = write_report(tmp_path)
    shown = atlas(page)
    unit = next(of for of in shown["units"] if (of[0], of[1]) == (0, 3))
    assert shown["images"][unit[5]]["name"] == "class/000099.png"
    assert unit[5] in unit[6]
    assert len(unit[6]) == len(unit[7]) == N_TOP + (99 not in set(unit[6][:N_TOP]))


@pytest.mark.parametrize(
    ("size", "mode", "expected"),
    [
        ((8, 8), "RGB", (64, 64)),
        ((5, 13), "L", (25, 65)),
        ((400, 100), "RGB", (96, 24)),
        ((90, 90), "RGBA", (90, 90)),
        ((90, 90), "P", (90, 90)),
    ],
)
def test_thumbnails(size, mode, expected):
    import base64
    import io

    kind, text = thumbnail(Image.new(mode, size)).split(";base64,")
    decoded = Image.open(io.BytesIO(base64.b64decode(text)))
    assert decoded.size == expected
    assert kind == f"data:image/{decoded.format.lower()}"


def test_images_that_cannot_be_read_get_no_thumbnail():
    class Broken(Noise):
        def __getitem__(self, index):
            if index == 1:
                raise OSError("truncated")
            return super().__getitem__(index)

    names = {index: name(index) for index in range(3)}
    assert list(thumbnails(Broken(3), names)) == [0, 2]


def test_images_of_another_data_set_are_not_shown(run, tmp_path):
    page = write_report(run, tmp_path / "report.html", dataset=Noise(49, side=8))
    assert {image["picture"] for image in atlas(page)["images"]} == {None}
    text = page.read_text(encoding="utf-8")
    assert "the images are others than those measured" in text


def test_sixteen_bits_are_scaled():
    import base64
    import io

    gradient = np.linspace(1000, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    _, text = thumbnail(Image.fromarray(gradient)).split(";base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    assert pixels[0, 0, 0] < 5
    assert pixels[-1, -1, 0] > 250
    assert abs(int(pixels[32, 0, 0]) - 128) < 8


def test_a_file_name_that_is_no_text_loses_nothing(tmp_path):
    measured = unit_mem(6, 12, n_layers=2)
    for table in ("units", "images"):
        measured.tables[table].loc[0, "filename"] = "\udcff.png"
    measured.save(tmp_path / "unit-mem")
    assert load_result(tmp_path / "unit-mem").to_pandas()["filename"][0] == "\udcff.png"
    assert atlas(write_report(tmp_path))["images"]


def test_the_least_memorised_begin_with_the_last(run, opened):
    scores = load_result(run / "layer-mem").top_samples(100)
    shown = opened.page.locator("#images .gallery").nth(1).locator(".name")
    expected = scores["filename"].tolist()[12:][::-1]
    assert shown.all_inner_texts() == expected[:12]


def test_a_button_says_how_many_units_hold_its_image(run, opened):
    held = live_units(run)["filename"].value_counts()
    for button in opened.page.locator("#images button").all():
        number = held.get(button.get_attribute("data-image"), 0)
        text = button.inner_text()
        expected = {0: "no unit", 1: "its unit"}.get(number, f"its {number} units")
        assert text == expected
        assert button.is_disabled() == (number == 0)


def test_what_is_found_stands_in_its_section(run, opened):
    for result in ("layer-mem", "unit-mem"):
        words = finding(load_result(run / result))
        assert opened.page.locator(f"#result-{result} > p").inner_text() == words
        assert words in opened.page.inner_text("#summary")


def test_hostile_settings_are_text(tmp_path):
    measured = unit_mem(6, 12, n_layers=2)
    measured.settings["source"] = {"data": "</td><script>alert(1)</script>"}
    measured.save(tmp_path / "<i>unit mem%")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<i>unit" not in text
    assert 'href="#result-%3Ci%3Eunit%20mem%25"' in text


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


def test_the_page_is_a_file(run, tmp_path):
    with pytest.raises(MemorizationError, match="is a folder"):
        write_report(run, tmp_path)


def test_no_results(tmp_path):
    with pytest.raises(MemorizationError, match="There is no folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(MemorizationError, match="holds no saved result"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
