import io
import re
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from lightly_memloc.report import to_svg
from lightly_memloc.report.svg import hover

NAMES = ["conv1 <b>", 'layer1 & "2"', "fc"]
SVG = "{http://www.w3.org/2000/svg}"


def figure_of(values, names=NAMES, named=True):
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title("Memorisation along depth")
    (points,) = axes.plot(range(len(values)), values, "o")
    points.set_gid("points")
    if named:
        hover(axes, range(len(values)), values, names)
    return figure


def marks(svg):
    root = ElementTree.fromstring(svg)
    return next((of for of in root.iter(f"{SVG}g") if of.get("class") == "marks"), [])


def test_a_mark_lies_where_its_point_is_drawn():
    svg = to_svg(figure_of([0.2, -0.1, 0.4]))
    points = next(
        of
        for of in ElementTree.fromstring(svg).iter(f"{SVG}g")
        if of.get("id") == "points"
    )
    drawn = [(of.get("x"), of.get("y")) for of in points.iter(f"{SVG}use")]
    named = [(of.get("cx"), of.get("cy")) for of in marks(svg)]
    assert len(named) == 3
    np.testing.assert_allclose(
        np.array(named, float), np.array(drawn, float), atol=0.051
    )


def test_a_mark_has_its_text_whatever_it_is():
    svg = to_svg(figure_of([0.2, -0.1, 0.4]))
    assert [mark.find(f"{SVG}title").text for mark in marks(svg)] == NAMES
    assert "<b>" not in svg


def test_a_name_that_is_no_text_leaves_an_svg():
    svg = to_svg(figure_of([1, 2, 3], ["\udcff.png", "\x01.png", "é☃.png"]))
    shown = [mark.find(f"{SVG}title").text for mark in marks(svg.encode())]
    assert shown == [r"\udcff.png", r"\x01.png", "é☃.png"]


def test_a_value_that_is_missing_has_no_mark():
    svg = to_svg(figure_of([0.2, np.nan, 0.4]))
    assert [mark.find(f"{SVG}title").text for mark in marks(svg)] == NAMES[::2]
    assert "nan" not in svg


def test_the_tab_key_stops_once():
    found = [mark.get("tabindex") for mark in marks(to_svg(figure_of([1, 2, 3])))]
    assert found == ["0", "-1", "-1"]
    assert {mark.get("role") for mark in marks(to_svg(figure_of([1, 2, 3])))} == {"img"}


def test_a_rectangle_reaches_from_corner_to_corner():
    figure = Figure(figsize=(4, 3))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 4), ylim=(0, 3))
    hover(axes, [1], [1], ["box"], until=([3], [2]))
    (mark,) = marks(to_svg(figure))
    place = [float(mark.get(name)) for name in ("x", "y", "width", "height")]
    # An inch is 72 points, and the y-axis points down.
    assert place == pytest.approx([72, 72, 144, 72])


def test_images_do_not_change():
    def pixels(figure):
        file = io.BytesIO()
        figure.savefig(file, format="png")
        return file.getvalue()

    assert pixels(figure_of([1, 2, 3])) == pixels(figure_of([1, 2, 3], named=False))


def test_the_drawing_is_the_same_with_and_without_marks():
    named, plain = (
        to_svg(figure_of([1, 2, 3])),
        to_svg(figure_of([1, 2, 3], named=False)),
    )
    assert re.sub(r'<g class="marks".*?</g>\n', "", named, flags=re.DOTALL) == plain


def test_text_stays_text():
    svg = to_svg(figure_of([1, 2, 3]))
    texts = [of.text for of in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert "Memorisation along depth" in texts
    assert "DejaVu Sans" in unescape(svg)


def test_a_figure_always_gives_the_same_text():
    figure = figure_of([1, 2, 3])
    assert to_svg(figure) == to_svg(figure) == to_svg(figure_of([1, 2, 3]))


def test_drawings_with_other_salts_share_no_id():
    ids = [
        set(
            re.findall(
                r'<(?:path|clipPath) id="(\w+)"', to_svg(figure_of([1, 2, 3]), salt)
            )
        )
        for salt in ("a", "b")
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
