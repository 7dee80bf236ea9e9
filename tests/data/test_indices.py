import numpy as np
import pandas as pd
import pytest
import torch

from lightly_memloc import MemorizationSplit, measure_class_mem, measure_unit_mem
from lightly_memloc.data import Study, are_indices, image_indices
from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions import tune_unit
from lightly_memloc.probes import ProbeTask

MASK = [False, True, False, True, True]
NUMBERS = [1, 3, 4]
FORMS = [list, tuple, np.array, torch.tensor, pd.Series]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", [MASK, NUMBERS])
def test_numbers_and_masks(given, form):
    assert are_indices(form(given))
    found = image_indices(form(given), 5, "indices")
    assert (found.dtype, found.tolist()) == (np.int64, NUMBERS)


@pytest.mark.parametrize("form", FORMS)
def test_none(form):
    assert image_indices(form([]), 5, "indices").tolist() == []


def test_the_order_is_kept():
    assert image_indices([4, 0, 2], 5, "indices").tolist() == [4, 0, 2]
    assert image_indices(np.uint8([4, 0]), 5, "indices").tolist() == [4, 0]
    assert image_indices(range(3, 0, -1), 5, "indices").tolist() == [3, 2, 1]


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (MASK[:-1], "one boolean for each of the 5 images, got a mask of 4"),
        ([*MASK, True], "a mask of 6"),
        ([0.0, 1.0], "Expected integer indices or a mask of the images"),
        ([0, 2.5], "Expected integer indices or a mask of the images"),
        ([0, 5], "Index 5 of indices is out of range for a data set of 5 images"),
        ([-1, 0], "Index -1 of indices is out of range"),
        ([[0, 1], [2, 3]], "of shape"),
    ],
)
def test_all_else_is_refused(given, message, form):
    with pytest.raises(MemorizationError, match=message):
        image_indices(form(given), 5, "indices")


@pytest.mark.parametrize("given", [["a.png", "b.png"], [None, 1], [True, 2, "x"]])
def test_names_and_mixtures_are_refused(given):
    with pytest.raises(MemorizationError, match="can be listed in a file"):
        image_indices(given, 5, "indices")


class Five:
    targets = (0, 1, 0, 1, 1)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return torch.rand(3, 20, 20, generator=generator), self.targets[index]


def crop(image):
    left, top = torch.randint(4, (2,)).tolist()
    return image[:, top : top + 16, left : left + 16]


WRONG = [MASK[:-1], [0.5, 2], ["a", "b"], [0, 7]]


@pytest.mark.parametrize("wrong", WRONG)
def test_everywhere(wrong):
    model = torch.nn.Conv2d(3, 4, 3)
    for refused in (
        lambda: Study(Five(), crop, indices=wrong),
        lambda: Study(Five(), crop, holdout=wrong),
        lambda: measure_unit_mem(model, Five(), crop, wrong, n_views=2),
        lambda: measure_unit_mem(model, Five(), crop, holdout=wrong, n_views=2),
        lambda: measure_class_mem(model, Five(), crop, indices=wrong, n_views=2),
        lambda: MemorizationSplit(5, candidate=wrong),
        lambda: MemorizationSplit.random(5, 1, exclude=wrong),
        lambda: ProbeTask(Five(), wrong, [4], crop),
        lambda: tune_unit(model, "", 0, Five(), crop, 0, wrong),
    ):
        with pytest.raises(MemorizationError):
            refused()


def test_a_mask_is_a_mask_everywhere():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    measured = [
        measure_unit_mem(model, Five(), crop, given, n_views=2, layers="0")
        for given in (MASK, NUMBERS, torch.tensor(MASK), np.array(MASK))
    ]
    assert {of.settings["images"] for of in measured} == {3}
    assert all(of.to_pandas().equals(measured[0].to_pandas()) for of in measured)
    study = Study(Five(), crop, holdout=MASK)
    assert study.non_members.tolist() == NUMBERS
    assert study.members.tolist() == [0, 2]
    split = MemorizationSplit(5, candidate=MASK)
    assert split.candidate.tolist() == NUMBERS
    first, last = np.array([1, 1, 0, 0, 0], bool), [False, False, False, True, True]
    task = ProbeTask(Five(), first, last, crop)
    assert (task.train.tolist(), task.test.tolist()) == ([0, 1], [3, 4])
