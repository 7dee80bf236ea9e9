import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from torch.utils.data import Subset

from lightly_memloc.data import MemorizationSplit, fingerprint
from lightly_memloc.errors import MemorizationError

ROLES = ["shared", "candidate", "independent", "external"]


def members(split):
    return {role: getattr(split, role).tolist() for role in ROLES}


def test_random_sizes():
    split = MemorizationSplit.random(100, candidate=20, independent=15, external=5)
    assert {role: len(of) for role, of in members(split).items()} == {
        "shared": 60,
        "candidate": 20,
        "independent": 15,
        "external": 5,
    }


def test_random_gives_each_image_one_role():
    split = MemorizationSplit.random(
        50, candidate=11, independent=12, external=13, seed=3
    )
    everyone = [index for of in members(split).values() for index in of]
    assert sorted(everyone) == list(range(50))


def test_random_without_independent_and_external():
    split = MemorizationSplit.random(10, candidate=4)
    assert (len(split.shared), len(split.candidate)) == (6, 4)
    assert split.independent.tolist() == split.external.tolist() == []


def test_random_can_use_every_image():
    split = MemorizationSplit.random(9, candidate=3, independent=3, external=3)
    assert split.shared.tolist() == []


@pytest.mark.parametrize("role", ROLES)
def test_random_roles_ascend(role):
    split = MemorizationSplit.random(80, candidate=20, independent=20, external=20)
    indices = getattr(split, role)
    assert indices.dtype == np.int64
    assert indices.tolist() == sorted(indices.tolist())
    assert len(indices) == 20


def test_random_is_reproducible():
    sizes = {"candidate": 20, "independent": 20, "external": 20}
    first, again, other = (
        members(MemorizationSplit.random(80, **sizes, seed=seed)) for seed in (7, 7, 8)
    )
    assert first == again
    for role in ROLES:
        assert first[role] != other[role]


def test_random_leaves_the_global_generator_alone(generator_states):
    before = generator_states()
    MemorizationSplit.random(80, candidate=20)
    assert generator_states() == before


def test_random_treats_images_alike():
    counts = np.zeros(10)
    for seed in range(2000):
        split = MemorizationSplit.random(10, candidate=3, external=2, seed=seed)
        counts[split.candidate] += 1
    # Binomial: 2000 draws of probability 0.3; five standard deviations.
    assert np.abs(counts - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_excluded_images_have_no_role():
    split = MemorizationSplit.random(
        12, candidate=3, independent=2, external=2, exclude=[0, 5, 11]
    )
    everyone = [index for of in members(split).values() for index in of]
    assert sorted(everyone) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert len(split.shared) == 2
    assert split.n == 12


@pytest.mark.parametrize(
    ("sizes", "exclude", "message"),
    [
        ({"candidate": 6, "independent": 5}, [], "6 candidate, 5 independent"),
        ({"candidate": 6, "external": 5}, [], "5 external images out of 10"),
        ({"candidate": 9}, [2, 3], "9 candidate.* out of 8"),
        ({"candidate": -1}, [], "-1 candidate"),
        ({"candidate": 4, "independent": -2}, [], "-2 independent"),
    ],
)
def test_impossible_sizes(sizes, exclude, message):
    with pytest.raises(MemorizationError, match=message):
        MemorizationSplit.random(10, **sizes, exclude=exclude)


@pytest.mark.parametrize("exclude", [[-1], [10], [3, 12], [-2, 11]])
def test_excluded_images_out_of_range(exclude):
    with pytest.raises(
        MemorizationError,
        match=f"Cannot exclude {exclude[0]} to {exclude[-1]} from 10 images",
    ):
        MemorizationSplit.random(10, candidate=2, exclude=exclude)


def test_trained_sets():
    split = MemorizationSplit(
        10, shared=[7, 1, 4], candidate=[9, 0], independent=[2, 5], external=[3]
    )
    assert split.trained_f.tolist() == [0, 1, 4, 7, 9]
    assert split.trained_g.tolist() == [1, 2, 4, 5, 7]
    assert split.trained_f.dtype == split.trained_g.dtype == np.int64


@pytest.mark.parametrize(
    "given",
    [
        [7, 1, 4],
        (7, 1, 4),
        np.array([4, 7, 1], dtype=np.int32),
        np.array([1, 4, 7], dtype=np.uint8),
    ],
)
def test_roles_are_sorted_int64(given):
    split = MemorizationSplit(10, candidate=given)
    assert split.candidate.dtype == np.int64
    assert split.candidate.tolist() == [1, 4, 7]


def test_roles_do_not_follow_the_given_array():
    given = np.array([1, 4, 7])
    split = MemorizationSplit(10, candidate=given)
    given[0] = 2
    assert split.candidate.tolist() == [1, 4, 7]


def test_save_and_load(tmp_path):
    split = MemorizationSplit.random(
        40, candidate=7, independent=6, external=5, seed=1, exclude=[3]
    )
    split.save(tmp_path / "split.json")
    loaded = MemorizationSplit.load(tmp_path / "split.json")
    assert loaded.n == 40
    assert members(loaded) == members(split)
    assert {getattr(loaded, role).dtype for role in ROLES} == {np.dtype(np.int64)}


def test_saved_document(tmp_path):
    path = tmp_path / "split.json"
    MemorizationSplit(6, shared=[5, 0], candidate=[2], external=[4, 3]).save(path)
    assert json.loads(path.read_text()) == {
        "n": 6,
        "fingerprint": None,
        "shared": [0, 5],
        "candidate": [2],
        "independent": [],
        "external": [3, 4],
    }


@pytest.mark.parametrize(("one", "other"), list(combinations(ROLES, 2)))
def test_overlapping_roles(one, other):
    with pytest.raises(
        MemorizationError,
        match=f"Image 4 is both {one} and {other}, and 1 more images",
    ):
        MemorizationSplit(10, **{one: [8, 1, 4], other: [4, 2, 8]})


def test_loading_overlapping_roles(tmp_path):
    path = tmp_path / "split.json"
    roles = {"shared": [0, 1], "candidate": [2], "independent": [2], "external": []}
    path.write_text(json.dumps({"n": 5, **roles}))
    with pytest.raises(
        MemorizationError, match="Image 2 is both candidate and independent"
    ):
        MemorizationSplit.load(path)


@pytest.mark.parametrize("indices", [[-1, 3], [3, 10], [11]])
@pytest.mark.parametrize("role", ROLES)
def test_out_of_range(role, indices):
    with pytest.raises(
        MemorizationError,
        match=f"Role {role} has indices {indices[0]} to {indices[-1]}.* 10 images",
    ):
        MemorizationSplit(10, **{role: indices})


def test_first_and_last_image_are_in_range():
    assert MemorizationSplit(10, external=[9, 0]).external.tolist() == [0, 9]


def test_twice_in_one_role():
    with pytest.raises(MemorizationError, match="more than once in a role"):
        MemorizationSplit(10, candidate=[3, 1, 3])


@pytest.mark.parametrize("indices", [[0.0, 1.0], [True, False], ["1"]])
def test_indices_that_are_no_integers(indices):
    with pytest.raises(MemorizationError, match="Expected"):
        MemorizationSplit(10, candidate=indices)


def document(**roles):
    return json.dumps({"n": 5} | {role: [] for role in ROLES} | roles)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[1, 2]",
        "3",
        "null",
        "{}",
        '{"n": 3}',
        '{"n": null, "shared": [], "candidate": [], "independent": [], "external": []}',
        '{"n": 5, "shared": [0], "candidate": [1], "independent": [2]}',
        document(shared=[0], candidate=[True]),
        document(shared=[0.0]),
        document(shared=["0"]),
        document(external={"0": 1}),
        document(candidate=""),
        b"\x89PNG\xff\xfe",
    ],
)
def test_file_without_a_split(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(
        MemorizationError,
        match=re.escape(f"{path} does not contain a split: expected a JSON"),
    ):
        MemorizationSplit.load(path)


TARGETS = np.repeat([3, 0, 7], [30, 50, 20])


@pytest.mark.parametrize("seed", range(20))
def test_stratified_roles_have_their_share_of_each_class(seed):
    sizes = {"candidate": 20, "independent": 10, "external": 30}
    split = MemorizationSplit.random(100, **sizes, seed=seed, targets=TARGETS)
    for role, size in (sizes | {"shared": 40}).items():
        of = TARGETS[getattr(split, role)]
        assert len(of) == size
        for target, count in ((3, 30), (0, 50), (7, 20)):
            assert abs((of == target).sum() - size * count / 100) <= 1.5


def test_stratified_splits_treat_images_alike():
    counts = np.zeros(10)
    targets = [0] * 7 + [1] * 3
    for seed in range(2000):
        split = MemorizationSplit.random(10, 3, external=2, seed=seed, targets=targets)
        counts[split.candidate] += 1
    # Binomial: 2000 draws of probability 0.3; five standard deviations.
    assert np.abs(counts - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_stratified_split_without_some_images():
    split = MemorizationSplit.random(
        100, 20, 20, 20, exclude=range(30), targets=TARGETS
    )
    everyone = [index for of in members(split).values() for index in of]
    assert sorted(everyone) == list(range(30, 100))
    assert abs((TARGETS[split.candidate] == 7).sum() - 20 * 20 / 70) <= 1.5


def test_split_of_a_data_set(digits):
    split = MemorizationSplit.of_dataset(digits, external=30, seed=4)
    assert len(split.candidate) == len(split.independent) == 179
    by_class = np.bincount(np.array(digits.targets)[split.external])
    assert (by_class.min(), by_class.max(), by_class.sum()) == (2, 4, 30)
    assert split.fingerprint == fingerprint(digits)
    split.refuse_other(digits)


def test_split_of_a_data_set_is_the_random_one_of_its_classes(digits):
    options = {"seed": 4, "exclude": [0, 5, 1796]}
    split = MemorizationSplit.of_dataset(digits, **options)
    sizes = {"candidate": 179, "independent": 179, "external": 179}
    expected = MemorizationSplit.random(
        1797, **sizes, **options, targets=digits.targets
    )
    assert members(split) == members(expected)
    given = {"candidate": 7, "independent": 6, "external": 5}
    few = MemorizationSplit.of_dataset(digits, **given)
    assert {role: len(getattr(few, role)) for role in given} == given


def test_a_split_of_another_data_set_is_refused(digits, tmp_path):
    MemorizationSplit.of_dataset(digits).save(tmp_path / "split.json")
    split = MemorizationSplit.load(tmp_path / "split.json")
    split.refuse_other(digits)
    other = Subset(digits, [1, 0, *range(2, len(digits))])
    with pytest.raises(MemorizationError, match="another data set of 1797 images"):
        split.refuse_other(other)
    with pytest.raises(MemorizationError, match=r"made for 1797 images.* has 9"):
        split.refuse_other(Subset(digits, range(9)))
    MemorizationSplit.random(len(digits), 9).refuse_other(other)


def test_fingerprint_that_is_no_text(tmp_path):
    path = tmp_path / "split.json"
    roles: dict = {role: [] for role in ROLES}
    path.write_text(json.dumps({"n": 5, "fingerprint": 7, **roles}))
    with pytest.raises(MemorizationError, match="fingerprint must be a string"):
        MemorizationSplit.load(path)


def test_a_digest_of_roles_and_groups():
    split = MemorizationSplit(
        6, candidate=[0, 1], external=[2, 3], groups=[0, 0, 1, 1, 2, 3]
    )
    same = replace(split, fingerprint="0" * 16)
    assert same.digest() == split.digest()
    for change in (
        {"candidate": [0, 1, 4]},
        {"candidate": [2, 3], "external": [0, 1]},
        {"groups": None},
        {"groups": [0, 1, 2, 2, 3, 4]},
        {"strata": [0] * 6},
        {"n": 7, "groups": None},
    ):
        assert replace(split, **change).digest() != split.digest()


def test_a_saved_split_keeps_its_digest(tmp_path):
    split = MemorizationSplit.random(9, 2, 2, 2, groups=list("aabbcdefg"))
    split.save(tmp_path / "split.json")
    assert MemorizationSplit.load(tmp_path / "split.json").digest() == split.digest()
