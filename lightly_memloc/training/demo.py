"""The demo's run: a pair trained on the embedded digits in two minutes."""

from os import PathLike

import numpy as np

from lightly_memloc.data import Digits, MemorizationSplit
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.run import Run

N_VIEWS = 16
ROLE_SIZE = 200


def train_demo(folder: str | PathLike[str], epochs: int = 80) -> Run:
    """Train the demo's pair; a run folder that contains it is returned as it is.

    Each of the four roles has 200 digits. The other digits have no role, so that the
    training stays short.

    Args:
        folder: The run folder.
        epochs: Epochs of training.

    Raises:
        MemorizationError: If the folder contains another run.
    """
    digits = Digits()
    unused = np.random.default_rng(0).permutation(len(digits))[4 * ROLE_SIZE :]
    split = MemorizationSplit.of_dataset(
        digits, ROLE_SIZE, ROLE_SIZE, ROLE_SIZE, exclude=unused.tolist()
    )
    config = TrainingConfig.for_data(
        "digits",
        backbone="resnet9-slim",
        epochs=epochs,
        learning_rate=2e-3,
        num_workers=2,
    )
    return Run.train(folder, "digits", split, config)
