import pytest

from lightly_memloc.runtime import replacing


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
