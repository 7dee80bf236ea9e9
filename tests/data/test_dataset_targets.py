import numpy as np
import pandas as pd
import pytest
import torch
from lightly.data import LightlyDataset
from torch.utils.data import ConcatDataset, Subset
from torchvision.datasets import FakeData, ImageFolder

from lightly_memloc.data import Digits, targets_of

CLASSES = ["ant/a.png", "bee/a.png", "bee/b.png", "cow/a.png"]


class Labelled:
    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        raise AssertionError("an image was read")


@pytest.mark.parametrize("opened", [ImageFolder, LightlyDataset])
def test_class_folders(write_images, opened):
    targets = targets_of(opened(str(write_images(*CLASSES))))
    assert targets.tolist() == [0, 1, 1, 2]
    assert targets.dtype == np.int64


def test_flat_folder_is_one_class(write_images):
    dataset = LightlyDataset(str(write_images("a.png", "b.png")))
    assert targets_of(dataset).tolist() == [0, 0]


@pytest.mark.parametrize(
    "targets", [[3, 1, 2], torch.tensor([3, 1, 2]), np.array([3, 1, 2], dtype=np.uint8)]
)
def test_attribute_without_reading(targets):
    found = targets_of(Labelled(targets))
    assert found.tolist() == [3, 1, 2]
    assert found.dtype == np.int64


def test_subset_and_subset_of_it(write_images):
    dataset = LightlyDataset(str(write_images(*CLASSES)))
    subset = Subset(dataset, [3, 0, 2])
    assert targets_of(subset).tolist() == [2, 0, 1]
    assert targets_of(Subset(subset, [1, 0])).tolist() == [0, 2]


def test_digits():
    assert targets_of(Digits())[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


@pytest.mark.parametrize("wrap", [lambda dataset: dataset, lambda d: Subset(d, [1])])
def test_unlabelled(wrap):
    assert targets_of(wrap(FakeData(3))) is None


def test_concatenation():
    parts = [Labelled([3, 1]), Subset(Labelled([5, 6, 7]), [2, 0])]
    assert targets_of(ConcatDataset(parts)).tolist() == [3, 1, 7, 5]


def test_concatenation_with_an_unlabelled_part():
    assert targets_of(ConcatDataset([Labelled([3, 1]), FakeData(2)])) is None


@pytest.mark.parametrize(
    "targets",
    [
        [2, -1, 0, -100],
        [2, None, 0, None],
        [2.0, float("nan"), 0.0, float("nan")],
        [2, "", 0, None],
        np.array([2.0, np.nan, 0.0, -1.0]),
        torch.tensor([2, -1, 0, -1]),
        [torch.tensor(2), None, torch.tensor(0), None],
        pd.Series([2, None, 0, None], dtype="Int64"),
    ],
)
def test_images_without_a_label(targets):
    assert targets_of(Labelled(targets)).tolist() == [2, -1, 0, -1]


def test_no_image_has_a_label():
    assert targets_of(Labelled([None] * 3)).tolist() == [-1] * 3


@pytest.mark.parametrize(
    "targets",
    [
        ["masks/a.png", "masks/b.png"],
        [0.5, 1.0],
        [0, float("inf")],
        [[0, 1], [1, 1]],
        [[0, 1], [1]],
        [{"boxes": 1}, {"boxes": 2}],
    ],
)
def test_targets_that_are_no_classes(targets):
    assert targets_of(Labelled(targets)) is None
