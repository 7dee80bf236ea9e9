import errno
import os
import threading

import pytest
import torch

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import refuse_no_folder, replacing, short_name
from lightly_memloc.runtime.files import is_stream


def test_a_file_is_replaced_once_it_is_complete(tmp_path):
    target = tmp_path / "made" / "file.txt"
    with replacing(target) as partial:
        partial.write_text("first")
        assert not target.exists()
    with replacing(target) as partial:
        partial.write_text("second")
        assert target.read_text() == "first"
    assert target.read_text() == "second"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail():
        with replacing(target) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_the_target_of_a_link_is_replaced_and_the_link_kept(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to("far/file.txt")
    with replacing(link) as partial:
        partial.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "far" / "file.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["file.txt"]


def test_a_link_that_leads_nowhere_yet(tmp_path):
    link = tmp_path / "link.txt"
    link.symlink_to("far/file.txt")
    with replacing(link) as partial:
        partial.write_text("new")
    assert (tmp_path / "far" / "file.txt").read_text() == "new"


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with replacing(pipe) as partial:
        partial.write_text("streamed")
    reader.join()
    assert read == ["streamed"]
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert is_stream(pipe)


def test_a_device_is_written_to():
    with replacing("/dev/null") as partial:
        partial.write_text("nothing")
    assert is_stream(type(partial)("/dev/null"))
    assert not os.path.isfile("/dev/null")


def test_a_folder_is_refused(tmp_path):
    with (
        pytest.raises(MemorizationError, match=f"{tmp_path} is a folder"),
        replacing(tmp_path),
    ):
        pytest.fail("It must be refused before anything is written.")


@pytest.mark.parametrize(
    "name", ["a" * 255, "ä" * 127, "b" * 248, "\udcff" * 250], ids=range(4)
)
def test_the_longest_names(tmp_path, name):
    with replacing(tmp_path / name) as partial:
        partial.write_text("new")
    assert os.listdir(tmp_path) == [name]


def test_long_names_that_begin_alike_do_not_share_a_temporary_file(tmp_path):
    with (
        replacing(tmp_path / ("a" * 254 + "1")) as first,
        replacing(tmp_path / ("a" * 254 + "2")) as second,
    ):
        first.write_text("1")
        second.write_text("2")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"1", "2"}


def test_short_names():
    assert short_name("run-1") == "run-1"
    long = {short_name(start + "a" * 300) for start in "bc"}
    assert len(long) == 2
    assert all(len(name.encode()) <= 255 for name in long)
    assert len(short_name("ä" * 300).encode()) <= 255


def test_a_full_disk_names_the_file(tmp_path):
    """A link to the device that is always full stands in for a file on a full disk."""
    target = tmp_path / "weights.pt"

    def save():
        with replacing(target) as partial:
            partial.symlink_to("/dev/full")
            with partial.open("wb") as file:
                torch.save({"weights": torch.zeros(100_000)}, file)

    with pytest.raises(OSError, match=r"weights\.pt") as failed:
        save()
    assert failed.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_full_device_names_itself():
    def write():
        with replacing("/dev/full") as partial:
            partial.write_text("full")

    with pytest.raises(OSError, match="/dev/full"):
        write()


def test_what_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "link", "pipe", "file/below", "file/far/below"):
        with pytest.raises(MemorizationError, match="is not a folder"):
            refuse_no_folder(tmp_path / name)
    refuse_no_folder(tmp_path)
    refuse_no_folder(tmp_path / "new" / "far" / "below")
    (tmp_path / "linked").symlink_to(tmp_path)
    refuse_no_folder(tmp_path / "linked")
