"""Members and holdout as two data sets, folders or lists."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch.utils.data import ConcatDataset, Subset

import lightly_memloc as memloc
from lightly_memloc.data import Study, open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import ResNet9
from tests.evaluators.tiny import Shades

MEMBERS, HOLDOUT = range(10), range(10, 18)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Images in two folders, under the same names, and lists of them."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    for name, n in (("members", 10), ("holdout", 8)):
        (root / name).mkdir()
        for number in range(n):
            pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
        names = [f"{name}/{number:02d}.png" for number in range(n)]
        (root / f"{name}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def sources(folders, form):
    members, holdout = folders / "members", folders / "holdout"
    if form == "lists":
        return folders / "members.txt", str(folders / "holdout.txt")
    if form == "data sets":
        return open_dataset(str(members)), open_dataset(str(holdout))
    return str(members), holdout


@pytest.fixture
def model():
    return ResNet9(width=4).eval()


@pytest.mark.parametrize("form", ["folders", "lists", "data sets"])
def test_they_are_measured_as_one_data_set_with_a_split(
    folders, model, transform, form
):
    members, holdout = sources(folders, form)
    both = ConcatDataset(
        [open_dataset(str(folders / name)) for name in ("members", "holdout")]
    )
    split = memloc.MemorizationSplit(18, candidate=MEMBERS, external=HOLDOUT)
    options = {"n_views": 2, "layers": ["pool", "layer3.residual"]}
    of_two = memloc.measure_layer_mem(
        model, None, members, None, transform, holdout=holdout, **options
    )
    of_one = memloc.measure_layer_mem(model, None, both, split, transform, **options)
    pd.testing.assert_frame_equal(of_two.to_pandas(), of_one.to_pandas())
    of_two = memloc.measure_unit_mem(
        model, members, transform, holdout=holdout, **options
    )
    of_one = memloc.measure_unit_mem(model, both, transform, split=split, **options)
    # Names in a list are relative to the list, those in a folder to the folder.
    pd.testing.assert_frame_equal(
        of_two.to_pandas().drop(columns="filename"),
        of_one.to_pandas().drop(columns="filename"),
    )
    assert of_two.settings["mix"] == {"members": 8, "holdout": 8}


def test_some_of_the_members(folders, transform):
    members, holdout = sources(folders, "folders")
    study = Study(members, transform, indices=[3, 1], holdout=holdout)
    assert study.members.tolist() == [1, 3]
    assert study.non_members.tolist() == list(HOLDOUT)
    with pytest.raises(MemorizationError, match="out of range for a data set of 10"):
        Study(members, transform, indices=[3, 12], holdout=holdout)


def test_the_callback(folders, transform):
    members, holdout = sources(folders, "folders")
    callback = memloc.MemorizationCallback(members, transform, holdout=holdout)
    assert callback._study.non_members.tolist() == list(HOLDOUT)


def test_the_same_images_on_both_sides_are_refused(folders, model, transform):
    members, _ = sources(folders, "folders")
    with pytest.raises(MemorizationError, match="Identical"):
        memloc.measure_layer_mem(
            model, None, members, None, transform, holdout=members, n_views=2
        )


def test_a_copy_among_them_is_refused(folders, model, transform, tmp_path):
    copied = tmp_path / "holdout"
    copied.mkdir()
    for path in (folders / "holdout").iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    Image.open(folders / "members" / "03.png").save(copied / "copy.bmp")
    with pytest.raises(MemorizationError, match="Identical") as refused:
        memloc.measure_unit_mem(
            model, str(folders / "members"), transform, holdout=copied, n_views=2
        )
    assert "03.png" in str(refused.value)
    assert "copy.bmp" in str(refused.value)


def test_an_empty_holdout_is_refused(folders, transform):
    with pytest.raises(MemorizationError, match="held-out images is empty"):
        Study(Shades(), transform, holdout=Subset(Shades(), []))


def test_a_split_is_of_one_data_set(folders, transform):
    split = memloc.MemorizationSplit(24, candidate=[0], external=[1])
    with pytest.raises(MemorizationError, match="pass either a split, or a data set"):
        Study(Shades(), transform, split, holdout=Shades())


def test_folders_that_are_not_there(folders, transform):
    with pytest.raises(MemorizationError, match="nowhere is not a folder"):
        Study(folders / "members", transform, holdout=folders / "nowhere")


def test_neither_split_nor_holdout(folders, model, transform):
    with pytest.raises(MemorizationError, match="Pass a split or a holdout"):
        memloc.measure_layer_mem(
            model, None, folders / "members", None, transform, n_views=2
        )
