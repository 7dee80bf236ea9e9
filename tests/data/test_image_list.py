import json
import os
import re

import pytest

from lightly_memloc.data import (
    ImageList,
    filename_of,
    groups_of,
    open_dataset,
    read_groups,
    targets_of,
)
from lightly_memloc.errors import MemorizationError

ROWS = [("cat/a.png", "cat", "p1"), ("b.png", "dog", "p2"), ("cat/c.png", "cat", "p1")]


@pytest.fixture
def folder(write_images):
    """Images of one grey each, 10 to 30, in the order of the rows."""
    return write_images(*(name for name, _, _ in ROWS))


def text(rows, _):
    return "".join(f"{row[0]}\n" for row in rows)


def csv(rows, columns):
    return "".join(",".join(map(str, row)) + "\n" for row in [columns, *rows])


def jsonl(rows, columns):
    return "".join(
        json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows
    )


FORMATS = {".txt": text, ".csv": csv, ".jsonl": jsonl}
ZEROS = ["007", "7", "NA"]
COLUMNS = ("filename", "label", "group")


def write(folder, suffix, rows=ROWS, columns=COLUMNS):
    path = folder / f"list{suffix}"
    path.write_text(FORMATS[suffix](rows, columns), encoding="utf-8")
    return path


def items(dataset):
    return [
        (image.getpixel((0, 0))[0], target, name) for image, target, name in dataset
    ]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_columns_of_a_list(folder, suffix):
    dataset = open_dataset(write(folder, suffix))
    assert isinstance(dataset, ImageList)
    assert items(dataset) == [
        (10, 0, "cat/a.png"),
        (20, 1, "b.png"),
        (30, 0, "cat/c.png"),
    ]
    assert dataset.classes == ["cat", "dog"]
    assert targets_of(dataset).tolist() == [0, 1, 0]
    assert groups_of(dataset).tolist() == ["p1", "p2", "p1"]
    assert filename_of(dataset, 2) == "cat/c.png"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_list_of_names_only(folder, suffix):
    rows = [(name,) for name, _, _ in ROWS]
    dataset = open_dataset(str(write(folder, suffix, rows, ["filename"])))
    assert [item[:2] for item in items(dataset)] == [(10, -1), (20, -1), (30, -1)]
    assert targets_of(dataset) is None
    assert groups_of(dataset) is None


def test_columns_in_any_order_and_others_besides(folder):
    rows = [(7, group, name) for name, _, group in ROWS]
    dataset = open_dataset(write(folder, ".csv", rows, ["size", "group", "filename"]))
    assert dataset.groups.tolist() == ["p1", "p2", "p1"]
    assert dataset.filenames == [name for name, _, _ in ROWS]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_integer_labels_are_classes_and_groups_are_texts(folder, suffix):
    rows = [(name, 4 - 2 * n, n) for n, (name, _, _) in enumerate(ROWS)]
    dataset = open_dataset(write(folder, suffix, rows))
    assert targets_of(dataset).tolist() == [4, 2, 0]
    assert dataset.classes == ["0", "1", "2", "3", "4"]
    assert groups_of(dataset).tolist() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("labels", "targets", "classes"),
    [
        ([2, -1, 0], [2, -1, 0], ["0", "1", "2"]),
        (["owl", -7, "cat"], [1, -1, 0], ["cat", "owl"]),
        ([-1, -1, -1], [-1, -1, -1], []),
    ],
)
def test_a_negative_label_is_none(folder, labels, targets, classes):
    rows = [(name, of, 0) for (name, *_), of in zip(ROWS, labels, strict=True)]
    dataset = open_dataset(write(folder, ".csv", rows))
    assert targets_of(dataset).tolist() == targets
    assert dataset.classes == classes


def test_groups_keep_their_zeros(folder):
    rows = [(name, "x", group) for (name, *_), group in zip(ROWS, ZEROS, strict=True)]
    assert open_dataset(write(folder, ".csv", rows)).groups.tolist() == ZEROS


def test_absolute_paths(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    rows = [(folder / name,) for name, _, _ in ROWS]
    dataset = open_dataset(write(tmp_path / "elsewhere", ".txt", rows))
    assert [grey for grey, _, _ in items(dataset)] == [10, 20, 30]


def test_text_with_blank_lines_and_a_byte_order_mark(folder):
    path = folder / "list.txt"
    path.write_text("\ufeffb.png\n\n  cat/a.png \r\n", encoding="utf-8")
    assert open_dataset(path).filenames == ["b.png", "cat/a.png"]


def test_transform_of_a_list(folder):
    assert ImageList(write(folder, ".csv"), lambda image: image.size)[0][0] == (12, 12)


def test_a_folder_named_like_a_list(write_images, tmp_path):
    renamed = write_images("a.png").rename(tmp_path / "images.csv")
    assert len(open_dataset(renamed)) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", "file,label\na.png,1\n", "no column 'filename', but 'file', 'label'"),
        ("l.csv", "filename\n", "lists no images"),
        ("l.txt", " \n", "lists no images"),
        ("l.csv", "", "cannot be read as a list"),
        ("l.jsonl", "", "no column 'filename'"),
        ("l.jsonl", "a.png\n", "cannot be read as a list of images"),
        ("l.jsonl", "[1]\n", "a line is no JSON object"),
        ("l.txt", b"\xff\xfe\x00", "Expected UTF-8 text in the format of its ending"),
        (
            "l.csv",
            "filename,group\nb.png,1\ncat/a.png,\ncat/c.png, \n",
            "no group for image 2 (cat/a.png) and 1 more",
        ),
        (
            "l.jsonl",
            '{"filename": "b.png", "label": 1}\n{"filename": "cat/a.png"}\n',
            "no label for image 2 (cat/a.png) and 0 more",
        ),
        ("l.csv", "filename,label\n,1\n", "no filename for image 1 and 0 more"),
        ("l.txt", "b.png\nb.png\ncat/a.png\n", "lists 1 files more than once: b.png"),
        (
            "l.txt",
            "b.png\n1.png\n2.png\n3.png\n4.png\n",
            "lists 4 files that do not exist: ",
        ),
    ],
)
def test_lists_that_cannot_be_used(folder, name, content, message):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MemorizationError, match=re.escape(str(path))) as refused:
        open_dataset(path)
    assert message in str(refused.value)


def test_missing_files_are_named(folder):
    path = folder / "l.txt"
    path.write_text("b.png\n1.png\n2.png\n3.png\n4.png\n")
    first = ", ".join(os.path.join(folder, f"{n}.png") for n in (1, 2, 3))
    with pytest.raises(MemorizationError, match=re.escape(f"{first} and 1 more")):
        open_dataset(path)


def test_a_list_that_does_not_exist(tmp_path):
    with pytest.raises(MemorizationError, match="cannot be read: No such file"):
        open_dataset(tmp_path / "none.csv")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_groups_in_the_order_of_the_images(folder, suffix):
    path = write(folder, suffix)
    names = ["cat/c.png", "b.png"]
    assert read_groups(path, names).tolist() == ["p1", "p2"]


def test_groups_of_images_that_are_not_listed(folder):
    names = ["b.png", *(f"{n}.png" for n in range(5))]
    with pytest.raises(
        MemorizationError,
        match=r"no group for 5 of 6 images: 0.png, 1.png, 2.png and 2 more",
    ):
        read_groups(write(folder, ".csv"), names)


@pytest.mark.parametrize(
    ("name", "message"), [("l.txt", "no column 'group'"), ("l.xlsx", "ends in .txt")]
)
def test_files_without_groups(folder, name, message):
    (folder / name).write_text("b.png\n")
    with pytest.raises(MemorizationError, match=message):
        read_groups(folder / name, ["b.png"])
