import re
import shutil
from dataclasses import replace
from html import unescape

import pandas as pd
import pytest

from lightly_memloc import load_result
from lightly_memloc.data import open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.report import Saved, p_value, to_svg, write_report
from tests.report.shown import CLASS, COMMITTED, HOSTILE, Opened, atlas, live_units
from tests.report.synthetic import N_TOP, Noise, layer_mem, unit_mem


def test_the_page_is_quiet_and_asks_for_nothing(opened, page_file):
    asked = [url for url in opened.requests if not url.startswith("data:")]
    assert asked == [page_file.as_uri()]
    assert opened.complaints == []


def charts(result):
    """The SVG of each figure of a result."""
    return [to_svg(figure) for figure in result.figures().values()]


def titles(text):
    return [unescape(title) for title in re.findall(r"<title>(.*)</title></", text)]


def test_charts_are_drawn(opened, run):
    shown = opened.page.locator(".chart svg")
    of = {"layer-mem": 2, "unit-mem": 2, "training-online_unit_mem": 1}
    for section, number in of.items():
        assert opened.page.locator(f"#result-{section} .chart svg").count() == number
    assert shown.count() == sum(of.values())
    layers = load_result(run / "layer-mem").to_pandas()
    names = shown.first.locator("text").all_text_contents()
    assert set(layers["layer"]) <= set(names)
    # Four estimates of each layer.
    assert shown.first.locator(".marks circle").count() == 4 * len(layers)
    for chart in shown.all():
        box = chart.bounding_box()
        assert box["width"] >= 440
        assert box["height"] > 300


def test_a_mark_says_its_layer_and_its_number(page_file, run):
    said = titles(page_file.read_text(encoding="utf-8"))
    for _, row in load_result(run / "layer-mem").to_pandas().iterrows():
        low, high = (row[f"symmetric_{end}"] for end in ("low", "high"))
        assert (
            f"{row['layer']}, symmetric: {row['symmetric']:+.3f} (95% interval "
            f"{low:+.3f} to {high:+.3f}, p = {p_value(row['symmetric_p'])})"
        ).replace("= <", "< ") in said
    for _, row in load_result(run / "unit-mem").layers_to_pandas().iterrows():
        assert any(
            text.startswith(f"{row['layer']}, member share: {row['member_share']:.0%}")
            for text in said
        )
        if row["units"] > row["dead"]:
            median = f"live units: median {row['median']:.3f}, quartiles"
            assert any(
                text.startswith(f"{row['layer']}, UnitMem") and median in text
                for text in said
            )
    samples = load_result(run / "layer-mem").samples_to_pandas()
    for _, row in samples.iterrows():
        assert f"{row['role']} {row['filename']}: {row.iloc[-1]:+.3f}" in said


def test_the_page_and_the_files_show_the_same(page_file, run):
    text = page_file.read_text(encoding="utf-8")
    headings = re.findall(r"<figure>\n<h3>(.*)</h3>\n<div class=\"chart\"", text)
    results = [load_result(run / name) for name in ("layer-mem", "unit-mem")]
    drawn = [plot for result in results for plot in result.figures().values()]
    expected = [figure.axes[0].get_title() for figure in drawn]
    assert headings == [*expected, "UnitMem in training, mean of each layer"]
    of_files = [titles(svg) for result in results for svg in charts(result)]
    of_page = [titles(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert of_page[:-1] == of_files


def test_ids_are_unique(page_file):
    text = page_file.read_text(encoding="utf-8")
    ids = re.findall(r'(?<![\w-])id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_marks_are_reached_with_the_keyboard(opened, run):
    layers = load_result(run / "layer-mem").to_pandas()
    values = [
        f"{layer}, published: {value:+.3f}"
        for layer, value in zip(layers["layer"], layers["layer_mem"], strict=True)
    ]
    tip = opened.page.locator("#tip")
    assert tip.is_hidden()
    opened.page.locator("nav a").last.focus()
    for key, expected in (
        ("Tab", values[0]),
        ("ArrowRight", values[1]),
        ("ArrowRight", values[2]),
        ("ArrowLeft", values[1]),
        ("Home", values[0]),
    ):
        opened.page.keyboard.press(key)
        assert tip.inner_text().startswith(expected)
        focused = opened.page.evaluate("document.activeElement.ariaLabel")
        assert focused == tip.inner_text()
    opened.page.keyboard.press("Escape")
    assert tip.is_hidden()
    # One stop of the Tab key for each chart, wherever one was in it.
    opened.page.keyboard.press("ArrowRight")
    stops = opened.page.locator(".marks").first.locator("[tabindex='0']")
    assert stops.count() == 1


def test_a_mark_is_shown_when_it_is_pointed_at(opened, run):
    layers = load_result(run / "unit-mem").layers_to_pandas()
    chart = opened.page.locator("#result-unit-mem .marks").last
    chart.locator("circle").nth(1).hover()
    share = layers["member_share"][1]
    expected = f"{layers['layer'][1]}, member share: {share:.0%}"
    assert opened.page.locator("#tip").inner_text().startswith(expected)


def test_the_page_of_the_demo_is_light(tmp_path):
    page = write_report(COMMITTED / "demo", tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    without_thumbnails = re.sub(r"data:image/(png|jpeg);base64,[^\"]*", "", text)
    assert len(without_thumbnails.encode()) < 400_000


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
        .map((of) => parseFloat(getComputedStyle(of).fontSize)
            * (of.ownerSVGElement?.getScreenCTM().a ?? 1))"""
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
    assert "2000 units of lower UnitMem are left out" in page.read_text(
        encoding="utf-8"
    )


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


def test_images_of_another_data_set_are_refused(run, tmp_path):
    with pytest.raises(MemorizationError, match="not those that were measured: 37 of"):
        write_report(run, tmp_path / "report.html", dataset=Noise(49, side=8))
    assert list(tmp_path.iterdir()) == []


class Renamed(Noise):
    def __init__(self, n_images, side):
        super().__init__(n_images, side)
        self.filenames = [f"other-{name}" for name in self.filenames]

    def __getitem__(self, index):
        image, target, name = super().__getitem__(index)
        return image, target, f"other-{name}"


def test_images_of_other_names_are_not_shown(tmp_path):
    """Results of earlier versions do not remember the pixels."""
    unit_mem(6, 12, n_layers=2).save(tmp_path / "unit-mem")
    page = write_report(tmp_path, dataset=Renamed(12, side=8))
    assert {image["picture"] for image in atlas(page)["images"]} == {None}


def test_a_file_name_that_is_no_text_loses_nothing(tmp_path):
    measured = unit_mem(6, 12, n_layers=2)
    for table in ("units", "images"):
        measured.tables[table].loc[0, "filename"] = "\udcff.png"
    measured.save(tmp_path / "unit-mem")
    assert load_result(tmp_path / "unit-mem").to_pandas()["filename"][0] == "\udcff.png"
    assert atlas(write_report(tmp_path))["images"]


def test_a_button_says_how_many_units_hold_its_image(run, opened):
    held = live_units(run)["filename"].value_counts()
    for button in opened.page.locator("#images button").all():
        number = held.get(button.get_attribute("data-image"), 0)
        text = button.inner_text()
        expected = {0: "no units", 1: "its unit"}.get(number, f"its {number} units")
        assert text == expected
        assert button.is_disabled() == (number == 0)


def test_hostile_settings_are_text(tmp_path):
    measured = unit_mem(6, 12, n_layers=2)
    source = {"data": "</td><script>alert(1)</script>"}
    measured = replace(measured, settings={**measured.settings, "source": source})
    measured.save(tmp_path / "<i>unit mem%")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<i>unit" not in text
    assert 'href="#result-%3Ci%3Eunit%20mem%25"' in text


def test_the_page_is_a_file(run, tmp_path):
    with pytest.raises(MemorizationError, match="is a folder"):
        write_report(run, tmp_path)


def test_no_results(tmp_path):
    with pytest.raises(MemorizationError, match="There is no folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(
        MemorizationError, match=r"contains no results: .* Measure first"
    ):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
