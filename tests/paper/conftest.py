import io
import os
import shutil
import zipfile
from dataclasses import replace

import pytest
from filelock import FileLock
from PIL import Image
from run import reproduce
from scale import CPU, smoke
from sklearn.datasets import load_digits

N_IMAGES = 400


@pytest.fixture(scope="package")
def archive(tmp_path_factory):
    """Scans of digits in the form of the CIFAR-10 archive."""
    path = tmp_path_factory.mktemp("data") / "digits.zip"
    digits = load_digits()
    with zipfile.ZipFile(path, "w") as packed:
        for number in range(N_IMAGES):
            pixels = (digits.images[number] * 15).astype("uint8")
            file = io.BytesIO()
            Image.fromarray(pixels).convert("RGB").resize((32, 32)).save(file, "PNG")
            part = "test" if number % 5 == 0 else "train"
            name = f"{part}/{digits.target[number]}/{number:04d}.png"
            packed.writestr(name, file.getvalue())
    return path


@pytest.fixture(scope="package")
def tiny():
    return replace(smoke(CPU), pairs=2)


@pytest.fixture(scope="package")
def out(archive, tiny, tmp_path_factory):
    """A folder in which everything is made at a tiny scale.

    It is made once and copied: the processes of a test run share their parent folder.
    """
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "paper-out"
    with FileLock(f"{made}.lock"):
        if not made.is_dir():
            reproduce(archive, made, tiny, "the command", "cpu", workers=2)
    return shutil.copytree(made, tmp_path_factory.mktemp("paper") / "out")
