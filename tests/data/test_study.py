import numpy as np
import pytest
import torch
from torch.utils.data import Subset
from torchvision import transforms

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import MultiViewDataset, Study, filename_of
from lightly_memloc.errors import MemorizationError

ROLES = {
    "candidate": [2, 5, 7, 11],
    "independent": [0, 3, 8],
    "external": [1, 4, 6, 19],
}


@pytest.fixture
def dataset(digits):
    return Subset(digits, range(20))


@pytest.fixture
def split():
    return MemorizationSplit(20, shared=[9, 10], **ROLES)


def plain(image):
    return transforms.functional.to_tensor(image.resize((16, 16)))


def lists(study):
    return study.members.tolist(), study.non_members.tolist()


def test_all_images_are_members_by_default(dataset, transform):
    study = Study(dataset, transform)
    assert lists(study) == (list(range(20)), [])
    assert (study.n_views, study.seed) == (10, 0)
    assert study.split is None


def test_all_images_but_the_holdout_are_members_by_default(dataset, transform):
    study = Study(dataset, transform, holdout=[7, 3])
    assert lists(study) == ([i for i in range(20) if i not in (3, 7)], [3, 7])


@pytest.mark.parametrize(
    "kind", [list, np.array, torch.tensor, lambda indices: np.array(indices, np.uint8)]
)
def test_indices_are_sorted_and_count_once(dataset, transform, kind):
    study = Study(dataset, transform, indices=kind([9, 2, 9]), holdout=kind([5, 4, 4]))
    assert lists(study) == ([2, 9], [4, 5])
    assert study.members.dtype == study.non_members.dtype == np.int64


def test_candidates_and_external_images_of_a_split(dataset, transform, split):
    study = Study(dataset, transform, split)
    assert lists(study) == (ROLES["candidate"], ROLES["external"])
    assert study.roles is split


def test_indices_and_holdout_replace_those_of_the_split(dataset, transform, split):
    study = Study(dataset, transform, split, indices=[9], holdout=[6])
    assert lists(study) == ([9], [6])
    assert study.roles is split


def test_members_and_holdout_are_roles_without_a_split(dataset, transform):
    roles = Study(dataset, transform, indices=[4, 2], holdout=[3]).roles
    assert roles.n == 20
    assert roles.candidate.tolist() == [2, 4]
    assert roles.external.tolist() == [3]
    assert not len(roles.independent)
    assert not len(roles.shared)


@pytest.mark.parametrize("name", ["indices", "holdout"])
@pytest.mark.parametrize("indices", [[-1, 3], [1, 20]])
def test_indices_out_of_range_are_refused(dataset, transform, name, indices):
    outside = -1 if -1 in indices else 20
    message = f"Index {outside} of {name} is out of range for a data set of 20 images"
    with pytest.raises(MemorizationError, match=message):
        Study(dataset, transform, **{name: indices})


def test_images_in_both_sets_are_refused(dataset, transform):
    with pytest.raises(MemorizationError, match="Image 4 and 1 more are both in"):
        Study(dataset, transform, indices=[1, 4, 5], holdout=[5, 4, 6])


def test_indices_among_the_external_images_are_refused(dataset, transform, split):
    with pytest.raises(MemorizationError, match="Image 6 and 0 more are both in"):
        Study(dataset, transform, split, indices=[6, 9])


def test_a_split_of_another_data_set_is_refused(digits, transform, split):
    with pytest.raises(MemorizationError, match=r"made for 20 images.* has 1797"):
        Study(digits, transform, split)


def test_two_data_sets(digits, transform):
    members, holdout = Subset(digits, [30, 40, 50]), Subset(digits, [60, 70])
    study = Study(members, transform, holdout=holdout, n_views=3, seed=6)
    assert lists(study) == ([0, 1, 2], [3, 4])
    assert (study.n_views, study.seed) == (3, 6)
    names = [filename_of(study.dataset, index) for index in range(5)]
    assert names == [digits.filenames[index] for index in (30, 40, 50, 60, 70)]


def test_without_a_holdout_the_members_stay(dataset, transform, split):
    for study in (
        Study(dataset, transform, split, n_views=4, seed=3),
        Study(dataset, transform, indices=ROLES["candidate"], n_views=4, seed=3),
    ):
        alone = study.without_holdout()
        assert lists(alone) == (ROLES["candidate"], [])
        assert alone.split is None
        assert (alone.n_views, alone.seed) == (4, 3)


@pytest.mark.parametrize(("n_images", "expected"), [(0, 2), (2, 2), (3, 3), (50, 4)])
def test_a_trial_has_the_first_images_of_each_role(
    dataset, transform, split, n_images, expected
):
    trial = Study(dataset, transform, split).trial(n_images)
    for role, indices in ROLES.items():
        assert getattr(trial.roles, role).tolist() == indices[:expected]
    assert lists(trial) == (
        ROLES["candidate"][:expected],
        ROLES["external"][:expected],
    )
    assert trial.split.shared.tolist() == [9, 10]


def test_a_trial_without_a_split(dataset, transform):
    trial = Study(dataset, transform, holdout=[0, 2, 4]).trial(2)
    assert lists(trial) == ([1, 3], [0, 2])
    assert trial.split is None


def test_views_are_those_of_a_multi_view_dataset(dataset, transform):
    study = Study(dataset, transform, n_views=3, seed=5, plain_transform=plain)
    views, target, filename = study.views()[7]
    expected = MultiViewDataset(dataset, transform, 3, 5)[7]
    assert torch.equal(views, expected[0])
    assert (target, filename) == expected[1:]


def test_the_plain_image_comes_before_anchored_views(dataset, transform):
    study = Study(dataset, transform, n_views=3, seed=5, plain_transform=plain)
    anchored = study.views(anchored=True)[7][0]
    assert torch.equal(anchored[0], plain(dataset[7][0]))
    assert torch.equal(anchored[1:], study.views()[7][0])


def test_a_single_view_needs_an_anchor(dataset, transform):
    study = Study(dataset, transform, n_views=1, plain_transform=plain)
    assert len(study.views(anchored=True)[7][0]) == 2
    with pytest.raises(MemorizationError, match="at least two views"):
        study.views()


GROUPS = np.arange(20)


def test_a_study_has_the_groups_of_its_split(dataset, transform, split):
    grouped = MemorizationSplit(20, **ROLES, groups=GROUPS, strata=GROUPS % 3)
    study = Study(dataset, transform, grouped)
    assert study.roles is grouped
    trial = study.trial(2).roles
    assert trial.groups.tolist() == GROUPS.tolist()
    assert trial.strata.tolist() == (GROUPS % 3).tolist()


def test_groups_of_a_study_replace_those_of_the_split(dataset, transform, split):
    study = Study(dataset, transform, split, groups=[f"p{n}" for n in GROUPS])
    assert study.split is split
    assert study.roles.groups.tolist() == [f"p{n}" for n in GROUPS]
    assert study.roles.candidate.tolist() == ROLES["candidate"]
    assert study.trial(2).roles.groups.tolist() == [f"p{n}" for n in GROUPS]


def test_groups_of_members_and_holdout(dataset, transform):
    study = Study(dataset, transform, indices=[0, 1], holdout=[2], groups=GROUPS // 2)
    assert study.roles.groups.tolist() == (GROUPS // 2).tolist()
    assert study.roles.strata is None
    assert study.without_holdout().roles.groups.tolist() == (GROUPS // 2).tolist()


@pytest.mark.parametrize("with_split", [False, True])
def test_a_group_of_members_and_holdout_is_refused(
    dataset, transform, split, with_split
):
    groups = GROUPS.copy()
    groups[[9, 6]] = 100
    with pytest.raises(MemorizationError, match="Group 100 has images of two roles"):
        Study(
            dataset,
            transform,
            split if with_split else None,
            indices=[9],
            holdout=[6],
            groups=groups,
        )


def test_groups_of_two_data_sets(digits, transform):
    members, holdout = Subset(digits, range(6)), Subset(digits, range(50, 54))
    groups = ["a", "a", "b", "c", "c", "c", "d", "d", "e", "e"]
    study = Study(members, transform, holdout=holdout, groups=groups)
    assert study.roles.groups.tolist() == groups
    with pytest.raises(MemorizationError, match=r"Group a .* image 0 .* image 8"):
        Study(members, transform, holdout=holdout, groups=[*groups[:8], "a", "e"])


def test_groups_that_the_data_sets_list(dataset, transform):
    one, other = Subset(dataset, range(8)), Subset(dataset, range(8, 12))
    dataset.dataset.groups = (np.arange(1797) // 4).tolist()
    study = Study(one, transform, holdout=other)
    assert study.roles.groups.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    with pytest.raises(MemorizationError, match="Group 1 has images of two roles"):
        Study(Subset(dataset, range(6)), transform, holdout=Subset(dataset, [6, 8]))


def test_roles_of_the_images(dataset, transform, split):
    study = Study(dataset, transform, indices=[3, 5], holdout=[4])
    assert study.role_of() == {3: "member", 5: "member", 4: "holdout"}
    of_split = Study(dataset, transform, split, indices=[2, 15], holdout=[6, 16])
    expected = {index: role for role, of in ROLES.items() for index in of}
    expected |= {9: "shared", 10: "shared", 15: "member", 16: "holdout"}
    assert of_split.role_of() == expected
