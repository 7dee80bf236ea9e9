import os
import re

import pytest
from lightly.data import LightlyDataset

from lightly_memloc.data import Digits, open_dataset
from lightly_memloc.errors import MemorizationError


def test_digits():
    dataset = open_dataset("digits")
    assert isinstance(dataset, Digits)
    assert len(dataset) == 1797


@pytest.mark.parametrize("typed", [str, lambda path: path, lambda path: f"{path}/"])
def test_flat_folder(write_images, typed):
    dataset = open_dataset(typed(write_images("b.png", "a.png")))
    assert isinstance(dataset, LightlyDataset)
    found = [(image.getpixel((0, 0)), target, name) for image, target, name in dataset]
    assert found == [((20, 20, 20), 0, "a.png"), ((10, 10, 10), 0, "b.png")]


def test_class_folders(write_images):
    dataset = open_dataset(write_images("dog/a.png", "cat/a.png"))
    found = [(image.getpixel((0, 0)), target, name) for image, target, name in dataset]
    assert found == [
        ((20, 20, 20), 0, os.path.join("cat", "a.png")),
        ((10, 10, 10), 1, os.path.join("dog", "a.png")),
    ]


def test_missing_folder(tmp_path):
    folder = tmp_path / "missing"
    with pytest.raises(
        MemorizationError,
        match=re.escape(f"{folder} is not a folder. Expected a folder"),
    ):
        open_dataset(folder)


def test_file_is_no_folder(write_images):
    path = write_images("a.png") / "a.png"
    with pytest.raises(MemorizationError, match=re.escape(f"{path} is not a folder")):
        open_dataset(path)


@pytest.mark.parametrize(
    "content", [[], ["notes.txt"], ["cat/"], ["cat/", "dog/"], ["cat/notes.txt"]]
)
def test_folder_without_images(tmp_path, content):
    for name in content:
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text("no image")
    with pytest.raises(
        MemorizationError, match=re.escape(f"{tmp_path} contains no images")
    ):
        open_dataset(tmp_path)
