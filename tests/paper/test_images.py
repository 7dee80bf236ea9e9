import numpy as np
import pytest
from images import Draw, unpack

from lightly_memloc.data import open_dataset, targets_of
from lightly_memloc.errors import MemorizationError

from .conftest import N_IMAGES

ROLES = ("shared", "candidate", "independent", "external")


@pytest.fixture(scope="module")
def dataset(archive, tmp_path_factory):
    return open_dataset(unpack(archive, tmp_path_factory.mktemp("images")))


def test_training_and_test_images_become_one_data_set(dataset):
    names = dataset.get_filenames()
    assert len(names) == N_IMAGES
    tests = [name for name in names if "/test-" in name]
    assert len(tests) == N_IMAGES / 5


def test_what_is_unpacked_stays(archive, tmp_path):
    images = unpack(archive, tmp_path)
    first = next(images.rglob("*.png"))
    first.write_bytes(b"mine")
    unpack(archive, tmp_path)
    assert first.read_bytes() == b"mine"


def test_no_image_has_two_uses(dataset):
    draw = Draw(dataset, (40, 50, 60, 30), (25, 35))
    split = draw.split(1)
    uses = [getattr(split, role) for role in ROLES] + [
        draw.probe_train,
        draw.probe_test,
    ]
    assert [len(use) for use in uses] == [40, 50, 60, 30, 25, 35]
    assert len(np.unique(np.concatenate(uses))) == 240


def test_each_role_has_its_share_of_each_class(dataset):
    targets = targets_of(dataset)
    share = np.bincount(targets) / len(targets)
    for role in ROLES:
        of = getattr(Draw(dataset, (60, 60, 60, 60), (40, 40)).split(3), role)
        assert np.abs(np.bincount(targets[of]) - 60 * share).max() <= 1.5


def test_permutations_stay_within_the_classes_that_the_roles_were_drawn_from(dataset):
    split = Draw(dataset, (60, 60, 60, 60), (40, 40)).split(3)
    np.testing.assert_array_equal(split.strata, targets_of(dataset))


def test_pairs_are_drawn_independently_and_again(dataset):
    draws = [Draw(dataset, (20, 20, 20, 20), (40, 40)) for _ in range(2)]
    first, second = (draws[0].split(number).candidate for number in (1, 2))
    assert len(np.intersect1d(first, second)) < 20
    np.testing.assert_array_equal(first, draws[1].split(1).candidate)


def test_too_few_images_are_refused(dataset):
    with pytest.raises(MemorizationError, match=r"needs 500 images.* are only 400"):
        Draw(dataset, (100, 100, 100, 100), (50, 50))


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "cifar10.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MemorizationError, match=r"train/<class>/<name>"):
        unpack(path, tmp_path / "out")
