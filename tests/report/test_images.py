import io

import numpy as np
import pytest
from PIL import Image

from lightly_memloc import (
    load_result,
)
from lightly_memloc.report.images import thumbnail, thumbnails
from tests.report.synthetic import Noise, name


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


def test_sixteen_bits_are_scaled():
    import base64

    gradient = np.linspace(1000, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    _, text = thumbnail(Image.fromarray(gradient)).split(";base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    assert pixels[0, 0, 0] < 5
    assert pixels[-1, -1, 0] > 250
    assert abs(int(pixels[32, 0, 0]) - 128) < 8


def test_the_least_memorised_begin_with_the_last(run, opened):
    scores = load_result(run / "layer-mem").top_samples(100)
    shown = opened.page.locator("#images .gallery").nth(1).locator(".name")
    expected = scores["filename"].tolist()[12:][::-1]
    assert shown.all_inner_texts() == expected[:12]
