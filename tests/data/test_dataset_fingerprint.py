import numpy as np
import pytest
import torch
from lightly.data import LightlyDataset
from PIL import Image
from torch.utils.data import Subset

from lightly_memloc.data import Digits, fingerprint


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    for number in range(5):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / f"{number}.png")
    return root


def test_equal_images_have_one_fingerprint(folder, tmp_path):
    first = fingerprint(LightlyDataset(str(folder)))
    assert first == fingerprint(LightlyDataset(str(folder)))
    folder.rename(tmp_path / "moved")
    assert first == fingerprint(LightlyDataset(str(tmp_path / "moved")))
    assert fingerprint(Digits()) == fingerprint(Digits())


def change_a_pixel(folder):
    Image.new("RGB", (4, 4), (0, 0, 1)).save(folder / "3.png")


def rename(folder):
    (folder / "3.png").rename(folder / "3a.png")


def break_one(folder):
    (folder / "3.png").write_bytes(b"")


def remove_one(folder):
    (folder / "4.png").unlink()


@pytest.mark.parametrize("change", [change_a_pixel, rename, break_one, remove_one])
def test_other_images_have_another(folder, change):
    before = fingerprint(LightlyDataset(str(folder)))
    change(folder)
    assert fingerprint(LightlyDataset(str(folder))) != before


def test_order_counts():
    digits = Digits()
    one, other = Subset(digits, [0, 1, 2]), Subset(digits, [0, 2, 1])
    assert fingerprint(one) != fingerprint(other)


def test_arrays_of_one_content_and_another_shape_differ():
    def of(image):
        return fingerprint([(torch.from_numpy(image), 0)] * 2)

    image = np.arange(16, dtype=np.uint8)
    assert of(image.reshape(1, 4, 4)) != of(image.reshape(1, 2, 8))
    assert of(image.reshape(1, 4, 4)) != of(image.reshape(1, 4, 4).astype(np.int16))


def test_a_large_data_set_is_sampled(generator_states):
    read = []

    class Large:
        def __len__(self):
            return 1_000_000

        def __getitem__(self, index):
            read.append(index)
            return torch.rand(3, 2, 2), 0

    before = generator_states()
    assert fingerprint(Large()) == fingerprint(Large())
    assert generator_states() == before
    assert len(read) == 2 * 64
    assert (min(read), max(read)) == (0, 999_999)


def test_the_mode_of_an_image_counts():
    grey = Image.new("L", (4, 4), 7)
    palette = Image.new("P", (4, 4), 7)
    assert np.array_equal(np.asarray(grey), np.asarray(palette))
    assert fingerprint([grey]) != fingerprint([palette])


def test_a_name_among_thousands_counts():
    class Named:
        def __init__(self, name):
            self.filenames = [f"{number}.png" for number in range(5000)]
            self.filenames[2501] = name

        def __len__(self):
            return len(self.filenames)

        def __getitem__(self, index):
            return torch.zeros(1, 1, 1)

    assert fingerprint(Named("a.png")) == fingerprint(Named("a.png"))
    assert fingerprint(Named("a.png")) != fingerprint(Named("b.png"))
