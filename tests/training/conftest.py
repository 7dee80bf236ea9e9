import shutil

import pytest

from lightly_memloc.training import TrainingConfig, train_runs
from tests.training.small_runs import ROLES


@pytest.fixture(scope="module")
def config():
    return TrainingConfig.for_data(
        "digits", backbone="resnet9-slim", epochs=1, batch_size=8
    )


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """Three runs. Tests that change them work on a copy."""
    path = tmp_path_factory.mktemp("runs") / "three"
    train_runs(path, "digits", 3, config, **ROLES)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")
