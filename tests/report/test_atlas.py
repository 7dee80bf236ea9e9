"""The atlas's script on a small page, in Chromium."""

import numpy as np
import pytest

from lightly_memloc.report import write_report
from tests.report.synthetic import unit_mem

pytestmark = pytest.mark.slow

NAMES = {0: "a.*[1](x)+?.png", 2: "A+b\\d.PNG"}


@pytest.fixture(scope="module")
def measured():
    """Six units of two layers, with names that a regular expression would misread."""
    result = unit_mem(6, 12, n_layers=2)
    units = result.tables["units"]
    units["unit_mem"] = [0.5, 0.25, 0.75, 0.125, 0.875, 0.625]
    for table in (units, result.tables["images"]):
        table["filename"] = table["index"].map(NAMES).fillna(table["filename"])
    # The last unit's image comes after more holdout images than are shown.
    top, last = result.tables["top_images"], units.index[-1]
    others = np.setdiff1d(np.arange(12), units.loc[last, "index"])[:6]
    top.loc[top.index[-6:], "index"] = others
    return result


@pytest.fixture
def page(measured, browser, tmp_path):
    measured.save(tmp_path / "unit-mem")
    opened = browser.new_page()
    opened.goto(write_report(tmp_path).as_uri())
    yield opened
    opened.close()


def headings(page):
    return page.locator(".unit h3").all_inner_texts()


def named(units):
    return [
        f"{of['layer']}, unit {of['unit']}" for of in units.to_dict(orient="records")
    ]


def test_orders(page, measured):
    units = measured.to_pandas()
    for order, ranked in (
        ("highest", units.sort_values("unit_mem", ascending=False)),
        ("lowest", units.sort_values("unit_mem")),
        ("order", units.sort_values(["layer", "unit"])),
    ):
        page.select_option("#sort", order)
        assert headings(page) == named(ranked)


def test_a_unit_at_the_bound_stays(page, measured):
    page.fill("#least", "0.625")
    assert len(headings(page)) == 3


def test_a_search_is_for_what_is_typed_in_any_case(page, measured):
    names = measured.to_pandas()["filename"].str.lower()
    for typed in (".*[1](", "+B\\D", ".PNG", "0000"):
        page.fill("#image", typed)
        assert len(headings(page)) == sum(typed.lower() in name for name in names)


def test_no_match_and_back(page):
    page.fill("#image", "(nothing)")
    assert headings(page) == []
    assert page.inner_text("#count").startswith("0 of 6 units")
    assert page.locator("#more").is_hidden()
    page.fill("#image", "")
    assert len(headings(page)) == 6


def test_an_image_that_ranks_after_the_others_is_the_units_own(page, measured):
    last = measured.to_pandas().iloc[-1]
    card = page.locator(".unit", has_text=f"{last['layer']}, unit {last['unit']}")
    assert card.locator("li").count() == 7
    assert card.locator("li.own .name").all_inner_texts() == [last["filename"]]
    assert card.locator("li").last.get_attribute("class") == "own"


def test_its_units_forgets_the_other_filters_and_works_by_keyboard(page, measured):
    last = measured.to_pandas().iloc[0]
    page.fill("#least", "0.1")
    page.locator("#layer").select_option(label=last["layer"])
    button = page.locator(f'.unit:has-text("{last["layer"]}, unit") .own button').first
    name = button.get_attribute("data-image")
    button.focus()
    page.keyboard.press("Enter")
    assert page.input_value("#layer") == ""
    assert page.input_value("#least") == "0"
    held = measured.to_pandas().loc[lambda units: units["filename"] == name]
    assert sorted(headings(page)) == sorted(named(held))
