import os

import pytest
from lightly.data import LightlyDataset
from torch.utils.data import ConcatDataset, Subset
from torchvision.datasets import FakeData, ImageFolder

from lightly_memloc.data import Digits, filename_of

CLASSES = ["cat/b.png", "cat/a.png", "dog/a.png"]
SORTED = [os.path.join("cat", "a.png"), os.path.join("cat", "b.png")]
SORTED.append(os.path.join("dog", "a.png"))


def names(dataset):
    return [filename_of(dataset, index) for index in range(len(dataset))]


@pytest.mark.parametrize("opened", [ImageFolder, LightlyDataset])
def test_class_folders(write_images, opened):
    assert names(opened(str(write_images(*CLASSES)))) == SORTED


def test_flat_folder(write_images):
    folder = write_images("2.png", "10.png", "1.png")
    assert names(LightlyDataset(str(folder))) == ["1.png", "10.png", "2.png"]


def test_subset_and_subset_of_it(write_images):
    folder = ImageFolder(str(write_images(*CLASSES)))
    subset = Subset(folder, [2, 0, 1])
    assert names(subset) == [SORTED[2], SORTED[0], SORTED[1]]
    assert names(Subset(subset, [2, 0])) == [SORTED[1], SORTED[2]]


def test_concatenation(write_images):
    folder = LightlyDataset(str(write_images(*CLASSES)))
    digits = Digits()
    joined = ConcatDataset([Subset(folder, [1]), Subset(digits, [8, 3]), folder])
    assert names(joined) == [SORTED[1], "8/0008.png", "3/0003.png", *SORTED]
    assert names(Subset(joined, [5, 1])) == [SORTED[2], "8/0008.png"]


def test_own_names_of_a_lightly_dataset():
    dataset = LightlyDataset.from_torch_dataset(
        FakeData(3), index_to_filename=lambda _, index: f"fake-{index}.jpg"
    )
    assert names(dataset) == ["fake-0.jpg", "fake-1.jpg", "fake-2.jpg"]


@pytest.mark.parametrize(
    "dataset", [FakeData(3), LightlyDataset.from_torch_dataset(FakeData(3)), "abc"]
)
def test_index_where_there_are_no_names(dataset):
    assert names(dataset) == ["0", "1", "2"]


def test_no_image_is_read(write_images):
    folder = write_images(*CLASSES)
    datasets = [ImageFolder(str(folder)), LightlyDataset(str(folder))]
    for path in folder.rglob("*.png"):
        path.unlink()
    for dataset in datasets:
        assert names(Subset(dataset, [1])) == [SORTED[1]]
