import numpy as np
import pytest
from PIL import Image

from lightly_memloc.data import open_dataset, read_image
from lightly_memloc.data.image_file import load_image
from lightly_memloc.errors import UnreadableImageError

RAMP = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (8, 1))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("form", ["folder", "folder of classes", "list"])
def test_sixteen_bits_are_scaled(tmp_path, ending, form):
    folder = tmp_path / "images" / ("class" if form == "folder of classes" else ".")
    folder.mkdir(parents=True)
    for number in range(2):
        Image.fromarray(RAMP).save(folder / f"{number}.{ending}")
    source = tmp_path / "images"
    if form == "list":
        source = tmp_path / "images.txt"
        source.write_text(f"images/0.{ending}\n", encoding="utf-8")
    image = open_dataset(str(source))[0][0]
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image) - RAMP[..., None] / 257).max() <= 0.5


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_eight_bits_are_as_pillow_converts_them(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    Image.fromarray(pixels).convert(mode).save(path)
    with Image.open(path) as file:
        assert np.array_equal(load_image(path), file.convert("RGB"))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_without_a_known_range_are_no_image(tmp_path, kind):
    pixels = np.full((8, 8), 70_000, dtype=kind)
    Image.fromarray(pixels).save(tmp_path / "image.tif")
    dataset = open_dataset(str(tmp_path))
    with pytest.raises(UnreadableImageError, match=r"image\.tif.*bits"):
        read_image(dataset, 0)
