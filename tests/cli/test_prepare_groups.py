"""Groups, lists of image files and duplicates on the command line."""

import json

import numpy as np
import pytest
from PIL import Image

from lightly_memloc import MemorizationSplit, load_result
from lightly_memloc.data import filename_of, open_dataset
from tests.cli.commands import MEASURE, SIZES, SMALL


@pytest.fixture
def names(images):
    dataset = open_dataset(images)
    return [filename_of(dataset, index) for index in range(len(dataset))]


@pytest.fixture
def groups(names, tmp_path):
    """A file with groups of four images, in another order than the images."""
    path = tmp_path / "groups.csv"
    rows = [f"{name},patient {index // 4}" for index, name in enumerate(names)]
    path.write_text("\n".join(["filename,group", *reversed(rows)]))
    return path


def listed(images, names, path):
    rows = [
        {
            "filename": str(images / name),
            "label": name.split("/")[0],
            "group": index // 4,
        }
        for index, name in enumerate(names)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def assert_whole(split, groups):
    roles = [split.shared, split.candidate, split.independent, split.external]
    of_role = [set(groups[indices]) for indices in roles]
    assert sum(map(len, of_role)) == len(set(groups)) == 10
    assert split.groups.tolist() == groups.tolist()


def test_split_by_groups_of_a_file(run, images, groups, tmp_path):
    out = tmp_path / "s.json"
    code, text, err = run("split", images, "--groups", groups, "--out", out, *SIZES)
    assert code == 0, err
    assert "16 shared, 8 candidate, 8 independent, 8 external" in text
    expected = np.array([f"patient {index // 4}" for index in range(40)])
    assert_whole(MemorizationSplit.load(out), expected)


def test_split_by_the_groups_of_a_list(run, images, names, tmp_path):
    path, out = listed(images, names, tmp_path / "list.jsonl"), tmp_path / "s.json"
    code, _, err = run("split", path, "--out", out, *SIZES)
    assert code == 0, err
    split = MemorizationSplit.load(out)
    assert_whole(split, np.array([str(index // 4) for index in range(40)]))
    assert split.strata.tolist() == [int(name.startswith("class1")) for name in names]


def test_groups_that_lack_images(refused, images, groups, tmp_path):
    lines = groups.read_text().splitlines()
    groups.write_text("\n".join(lines[:-5]))
    message = "has no group for 5 of 40 images: class0/00.png, class0/02.png, "
    refused(("split", images, "--groups", groups), message, {})


@pytest.fixture
def copied(images, tmp_path):
    """The images, of which the last is a copy of the first."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for path in images.glob("*/*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    with Image.open(folder / "00.png") as image:
        image.save(folder / "39.bmp")
    (folder / "39.png").unlink()
    return folder


@pytest.fixture
def apart(copied, tmp_path):
    """A split with the two copies in different roles."""
    path = tmp_path / "apart.json"
    order = np.arange(40)
    MemorizationSplit(
        40, order[16:32], order[:8], order[8:16], external=order[32:]
    ).save(path)
    return path


def train(copied, apart, out):
    arguments = ["train", copied, "--out", out, "--split", apart, "--epochs", 1]
    return [*arguments, "--batch-size", 8, *SMALL]


@pytest.mark.filterwarnings("always::lightly_memloc.errors.MemorizationWarning")
def test_identical_images_are_refused_until_they_are_allowed(
    run, refused, copied, apart, tmp_path
):
    out = tmp_path / "run"
    message = (
        "Identical images have different roles: 00.png (candidate) and 39.bmp "
        "(external)."
    )
    refused(train(copied, apart, out), message, {})
    assert not (out / "f.ckpt").exists()
    code, _, err = run(*train(copied, apart, out), "--allow-duplicates")
    assert code == 0, err
    assert f"Warning: {message}" in err
    refused(("layer-mem", out, *MEASURE), message, {})
    code, _, err = run("layer-mem", out, *MEASURE, "--allow-duplicates")
    assert code == 0, err
    assert f"Warning: {message}" in err
    assert load_result(out / "layer-mem").settings["duplicates"] == [
        {
            "filenames": ["00.png", "39.bmp"],
            "roles": ["candidate", "external"],
            "identical": True,
        }
    ]


def test_a_split_of_identical_images(run, copied, tmp_path):
    out = tmp_path / "s.json"
    arguments = ("split", copied, "--out", out, "--candidate", 20, "--external", 20)
    # With half of the images in each role, some seed parts the two copies.
    codes = {
        seed: run(*arguments, "--independent", 0, "--seed", seed) for seed in range(8)
    }
    parted = [seed for seed, (code, _, _) in codes.items() if code == 2]
    assert 0 < len(parted) < 8
    assert "00.png" in codes[parted[0]][2]
    groups = tmp_path / "groups.csv"
    names = sorted(path.name for path in copied.iterdir())
    rows = [
        f"{name},{'twins' if name in ('00.png', '39.bmp') else name}" for name in names
    ]
    groups.write_text("\n".join(["filename,group", *rows]))
    for seed in parted:
        code, _, err = run(
            *arguments, "--independent", 0, "--seed", seed, "--groups", groups
        )
        assert code == 0, err


def test_a_pair_of_grouped_images(run, refused, images, names, tmp_path):
    path, out = listed(images, names, tmp_path / "list.jsonl"), tmp_path / "run"
    arguments = ["train", path, "--out", out, "--epochs", 1, "--batch-size", 8, *SMALL]
    code, _, err = run(*arguments, *SIZES, "--callback", "memorization")
    assert code == 0, err
    split = MemorizationSplit.load(out / "split.json")
    assert_whole(split, np.array([str(index // 4) for index in range(40)]))
    code, _, err = run("layer-mem", out, *MEASURE)
    assert code == 0, err
    # The same roles with other groups are another run.
    given = tmp_path / "given.json"
    groups = np.arange(40)
    MemorizationSplit(
        40,
        split.shared,
        split.candidate,
        split.independent,
        split.external,
        groups=groups,
    ).save(given)
    refused([*arguments, "--split", given], "the groups differ", {})


def test_groups_for_a_given_split(run, refused, images, names, groups, tmp_path):
    divided = tmp_path / "divided.json"
    MemorizationSplit.random(40, 8, 8, 8, seed=1).save(divided)
    out = tmp_path / "run"
    arguments = ["train", images, "--out", out, "--split", divided, "--groups", groups]
    refused(arguments, "has images of two roles", {})
    assert not out.exists()


def test_runs_by_groups(run, images, groups, tmp_path):
    out = tmp_path / "runs"
    arguments = [
        "train",
        images,
        "--out",
        out,
        "--epochs",
        1,
        "--batch-size",
        8,
        *SMALL,
    ]
    code, _, err = run(*arguments, *SIZES, "--runs", 2, "--groups", groups)
    assert code == 0, err
    expected = np.array([f"patient {index // 4}" for index in range(40)])
    for name in ("run-1", "run-2"):
        assert_whole(MemorizationSplit.load(out / name / "split.json"), expected)
