import numpy as np
import pytest
from PIL import Image

from lightly_memloc import MemorizationSplit
from lightly_memloc.errors import MemorizationError
from tests.cli.commands import invoke, train, train_runs


@pytest.fixture
def run(capsys):
    """Run the command line in this process: exit code, standard output and error."""

    def run(*arguments):
        code = invoke(*arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refused(run, tmp_path, monkeypatch):
    """Check that a command ends with exit code 2 and a message, without a traceback."""

    def refused(arguments, message, places):
        monkeypatch.chdir(tmp_path)
        for name, place in places.items():
            message = message.replace(name, str(place))
        given = [places.get(argument, argument) for argument in arguments]
        code, out, err = run(*given)
        assert (code, out) == (2, "")
        assert message in " ".join(err.replace("│", " ").split())
        assert "Traceback" not in err
        with pytest.raises((MemorizationError, OSError)):
            run("--debug", *given)

    return refused


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(40):
        label = folder / f"class{number % 2}"
        label.mkdir(exist_ok=True)
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(label / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def trained(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert invoke(*train(images, folder)) == 0
    return folder


@pytest.fixture(scope="session")
def several(images, tmp_path_factory):
    """A folder of three runs. Tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("several") / "runs"
    assert invoke(*train_runs(images, folder, 3)) == 0
    return folder


@pytest.fixture
def other_split(images, tmp_path):
    """The split of as many images as the data set has, but of other images."""
    path = tmp_path / "split.json"
    n = len(list(images.glob("*/*.png")))
    MemorizationSplit.random(n, 8, 8, 8, fingerprint="0" * 16).save(path)
    return path
