import pytest
from lightly.data import LightlyDataset
from torch.utils.data import Subset

from lightly_memloc.data import Digits, unreadable_images
from lightly_memloc.errors import MemorizationError


@pytest.fixture
def spoiled(write_images):
    folder = write_images("a.png", "b.png", "c.png", "d.png")
    (folder / "b.png").write_text("this is no image")
    content = (folder / "d.png").read_bytes()
    (folder / "d.png").write_bytes(content[: len(content) - 30])
    return LightlyDataset(str(folder))


def test_unreadable_images(spoiled):
    assert unreadable_images(spoiled) == [1, 3]


def test_indices_are_those_of_the_subset(spoiled):
    assert unreadable_images(Subset(spoiled, [3, 0, 2, 1])) == [0, 3]


def test_readable_images():
    assert unreadable_images(Subset(Digits(), range(5))) == []


def test_items_that_are_no_images_are_refused():
    with pytest.raises(MemorizationError, match="returned a str for image 0"):
        unreadable_images(["a.png"])
