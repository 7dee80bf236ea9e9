import hashlib
import json

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, Dataset, Subset

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import ROLES, groups_of
from lightly_memloc.errors import MemorizationError

SIZES = {"candidate": 100, "independent": 80, "external": 60}


def roles(split):
    return {role: getattr(split, role).tolist() for role in ROLES}


def sizes(split):
    return {role: len(indices) for role, indices in roles(split).items()}


def divided(split, groups):
    """Groups with images of more than one role, found image by image."""
    seen = {}
    for role, indices in roles(split).items():
        for index in indices:
            seen.setdefault(groups[index], set()).add(role)
    return [group for group, found in seen.items() if len(found) > 1]


def digest(split):
    return hashlib.sha256(json.dumps(roles(split)).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (None, "2c50dfb636faaca1"),
        (np.arange(500) % 7, "c8005a1c3aa68018"),
        ((np.arange(500) % 7) / 2, "c8005a1c3aa68018"),
        ([f"class {index % 11}" for index in range(500)], "d69d3c92e7c1808f"),
    ],
)
def test_a_seed_draws_the_split_it_drew_before_there_were_groups(targets, expected):
    split = MemorizationSplit.random(500, 100, 80, 60, seed=(3, 1), targets=targets)
    assert digest(split) == expected


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("most", [2, 5, 17])
def test_no_group_is_divided_and_sizes_are_met(seed, most):
    groups = np.random.default_rng(seed).integers(2 * 400 // most, size=400)
    split = MemorizationSplit.random(400, **SIZES, seed=seed, groups=groups)
    assert divided(split, groups) == []
    # There are enough groups of each size for a sum to be met exactly.
    assert sizes(split) == {"shared": 160, **SIZES}
    assert split.groups.tolist() == groups.tolist()


def test_groups_of_one_size_come_as_near_as_they_can():
    groups = np.arange(100) // 4
    split = MemorizationSplit.random(100, 22, 19, 21, groups=groups)
    # Multiples of 4 that are nearest to 22, 19 and 21.
    found = sizes(split)
    assert found["candidate"] in (20, 24)
    assert found["independent"] == found["external"] == 20


@pytest.mark.parametrize("seed", range(5))
def test_every_image_has_a_role_where_none_is_to_be_shared(seed):
    groups = np.repeat(np.arange(30), np.tile([3, 4, 5], 10))
    split = MemorizationSplit.random(120, 40, 40, 40, seed=seed, groups=groups)
    assert divided(split, groups) == []
    assert sizes(split)["shared"] == 0
    assert sum(sizes(split).values()) == 120
    assert max(abs(sizes(split)[role] - 40) for role in SIZES) <= 5


def test_groups_are_drawn_at_random():
    groups = np.repeat(np.arange(40), 3)
    counts = np.zeros(40)
    for seed in range(600):
        split = MemorizationSplit.random(120, 30, external=30, seed=seed, groups=groups)
        counts[np.unique(groups[split.candidate])] += 1
    # Binomial: each of 40 groups is one of 10 candidates; five standard deviations.
    assert np.abs(counts - 150).max() < 5 * np.sqrt(600 * 0.25 * 0.75)


@pytest.mark.parametrize("seed", range(10))
def test_roles_of_groups_have_their_share_of_each_class(seed):
    groups = np.arange(600) // 3
    targets = np.repeat([0, 1, 2], [300, 180, 120])
    split = MemorizationSplit.random(
        600, 100, 100, 100, seed=seed, groups=groups, targets=targets
    )
    assert divided(split, groups) == []
    for role in SIZES:
        found = np.bincount(targets[getattr(split, role)], minlength=3)
        assert np.abs(found - [50, 30, 20]).max() <= 6


def test_a_group_counts_for_the_class_of_most_of_its_images():
    groups = np.arange(300) // 3
    targets = np.array([0, 0, 1] * 50 + [1, 1, 0] * 50)
    split = MemorizationSplit.random(300, 60, groups=groups, targets=targets)
    majority = (targets.reshape(-1, 3).sum(1) >= 2).astype(int)
    found = np.bincount(majority[np.unique(groups[split.candidate])])
    assert found.tolist() == [10, 10]


def test_the_same_seed_draws_the_same_groups():
    groups = np.arange(200) // 5
    first, again, other = (
        roles(MemorizationSplit.random(200, 50, 50, 50, seed=seed, groups=groups))
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_excluded_images_of_a_group_have_no_role():
    groups = np.arange(40) // 4
    split = MemorizationSplit.random(40, 9, 9, 9, exclude=[0, 5], groups=groups)
    everyone = sorted(index for of in roles(split).values() for index in of)
    assert everyone == [index for index in range(40) if index not in (0, 5)]
    assert divided(split, groups) == []


def test_a_group_larger_than_every_role_is_shared():
    groups = [0] * 50 + list(range(1, 51))
    split = MemorizationSplit.random(100, 10, 10, 10, groups=groups)
    assert set(range(50)) <= set(split.shared.tolist())
    assert sizes(split) == {
        "shared": 70,
        "candidate": 10,
        "independent": 10,
        "external": 10,
    }


@pytest.mark.parametrize(
    ("groups", "wanted", "message"),
    [
        (np.arange(100) // 20, (8, 8, 8), r"about 8 candidate .* is 0.* up to 20"),
        (["a"] * 90 + ["b"] * 10, (50, 50), r"about 50 \w+ images.*\(group a\)"),
    ],
)
def test_sizes_that_whole_groups_cannot_meet(groups, wanted, message):
    with pytest.raises(MemorizationError, match=message):
        MemorizationSplit.random(100, *wanted, groups=groups)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ([3, 3, 1, 0], [3, 3, 1, 0]),
        (np.array([3, 3, 1, 0], dtype=np.uint8), [3, 3, 1, 0]),
        (["b", "b", "a", "c"], ["b", "b", "a", "c"]),
        (np.array(["b", "b", "a", "c"]), ["b", "b", "a", "c"]),
        ([("p", 1), ("p", 1), "q", 2], ["('p', 1)", "('p', 1)", "q", "2"]),
    ],
)
def test_kinds_of_groups(given, stored, tmp_path):
    split = MemorizationSplit(4, candidate=[0, 1], external=[2], groups=given)
    assert split.groups.tolist() == stored
    split.save(tmp_path / "split.json")
    loaded = MemorizationSplit.load(tmp_path / "split.json")
    assert loaded.groups.tolist() == stored
    assert loaded.groups.dtype == split.groups.dtype


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_an_image_without_a_group_is_refused(missing):
    groups = ["a", missing, "b", missing]
    with pytest.raises(MemorizationError, match="Image 1 and 1 more have no group"):
        MemorizationSplit(4, groups=groups)


@pytest.mark.parametrize("groups", [[1, 2, 3], [[1], [2], [3], [4]], range(5)])
def test_groups_of_another_number_of_images(groups):
    with pytest.raises(
        MemorizationError, match="groups to have one value for each of 4"
    ):
        MemorizationSplit(4, groups=groups)


@pytest.mark.parametrize("one", ROLES)
@pytest.mark.parametrize("other", ROLES)
def test_a_divided_group_is_refused(one, other):
    groups = ["x", "p7", "y", "p7"]
    if one == other:
        MemorizationSplit(4, **{one: [1, 3]}, groups=groups)
        return
    with pytest.raises(
        MemorizationError,
        match=f"Group p7 has .* image 1 is {one} and image 3 is {other}, and 0 more",
    ):
        MemorizationSplit(4, **{one: [1], other: [3]}, groups=groups)


def test_a_group_may_reach_beyond_the_roles():
    split = MemorizationSplit(4, candidate=[0], external=[2], groups=[0, 0, 1, 0])
    assert split.groups.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("targets", "strata"),
    [
        ([4, 0, 4, -1], [4, 0, 4, -1]),
        ([0.5, 0.0, float("nan"), 0.5], [1, 0, 2, 1]),
        (["dog", None, "cat", "dog"], [1, 2, 0, 1]),
        ([True, False, False, True], [1, 0, 0, 1]),
        (None, None),
    ],
)
def test_strata_are_the_classes_of_a_stratified_split(targets, strata, tmp_path):
    split = MemorizationSplit.random(4, 2, targets=targets)
    split.save(tmp_path / "split.json")
    for of in (split, MemorizationSplit.load(tmp_path / "split.json")):
        assert (of.strata if of.strata is None else of.strata.tolist()) == strata


def test_targets_of_several_columns_are_refused():
    with pytest.raises(MemorizationError, match=r"targets to have .* \(4, 2\)"):
        MemorizationSplit.random(4, 2, targets=np.zeros((4, 2)))


def test_strata_of_a_data_set_are_its_classes(digits):
    split = MemorizationSplit.of_dataset(digits)
    assert split.strata.tolist() == digits.targets
    assert split.groups is None


@pytest.mark.parametrize("known", ["groups", "strata"])
def test_a_file_whose_groups_are_no_list(tmp_path, known):
    path = tmp_path / "split.json"
    MemorizationSplit(3, candidate=[0]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {known: "abc"}))
    with pytest.raises(MemorizationError, match=f"{known} must be a list"):
        MemorizationSplit.load(path)


class Grouped(Dataset):
    def __init__(self, digits, groups):
        self.digits, self.groups = digits, groups

    def __len__(self):
        return 60

    def __getitem__(self, index):
        return self.digits[index]


def test_groups_that_a_data_set_lists_are_drawn_whole(digits):
    dataset = Grouped(digits, [f"p{index // 6}" for index in range(60)])
    split = MemorizationSplit.of_dataset(dataset, 12, 12, 12)
    assert split.groups.tolist() == dataset.groups
    assert divided(split, dataset.groups) == []
    other = np.arange(60) // 3
    assert (
        MemorizationSplit.of_dataset(dataset, groups=other).groups.tolist()
        == other.tolist()
    )


def test_groups_of_data_sets(digits):
    grouped = Grouped(digits, [index // 6 for index in range(60)])
    assert groups_of(digits) is None
    assert groups_of(Grouped(digits, ["train", "test"])) is None
    assert groups_of(Subset(grouped, [59, 0, 6])).tolist() == [9, 0, 1]
    both = ConcatDataset([Subset(grouped, [59]), grouped])
    assert groups_of(both).tolist() == [9, *grouped.groups]
    assert groups_of(ConcatDataset([grouped, digits])) is None
