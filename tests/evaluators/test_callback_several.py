"""Several callbacks in one trainer, and one callback in several trainings."""

import numpy as np
import pytest
import pytorch_lightning as pl

from lightly_memloc import MemorizationCallback
from lightly_memloc.results import load_epochs
from tests.evaluators.trainings import SimCLR, conv_net, loader, quiet_trainer

MEMBERS = np.arange(20, 36)


class Two(SimCLR):
    """A second encoder, which the loss does not see."""

    def __init__(self):
        super().__init__()
        self.second = conv_net()


def test_later_callbacks_have_names_and_folders_of_their_own(
    tmp_path, digits, transform
):
    pl.seed_everything(0, verbose=False)
    callbacks = [
        MemorizationCallback(
            digits, transform, MEMBERS, backbone=name, layers=layers, n_views=2
        )
        for name, layers in (("backbone", "auto"), ("second", "auto"), ("second", "0"))
    ]
    trainer = quiet_trainer(tmp_path, *callbacks, max_epochs=1)
    trainer.fit(Two(), loader(digits, MEMBERS, transform))
    prefixes = ["", "second/", "second-2/"]
    for callback, prefix in zip(callbacks, prefixes, strict=True):
        [result] = callback.history
        for name, value in result.scalars().items():
            logged = float(trainer.callback_metrics[prefix + name])
            assert logged == pytest.approx(value, rel=1e-6)
        [saved] = load_epochs(tmp_path / "memorization" / prefix)
        assert saved.scalars() == pytest.approx(result.scalars())
    first, second, _ = (callback.history[0].scalars() for callback in callbacks)
    assert first["unit_mem/0"] != second["unit_mem/0"]


def test_a_second_fit_of_as_many_steps_is_measured_again(tmp_path, digits, transform):
    callback = MemorizationCallback(digits, transform, MEMBERS, n_views=2)
    for seed in range(2):
        pl.seed_everything(seed, verbose=False)
        trainer = quiet_trainer(tmp_path, callback, max_epochs=-1, max_steps=1)
        trainer.fit(SimCLR(), loader(digits, MEMBERS, transform))
    assert [result.settings["step"] for result in callback.history] == [1, 1]
    one, other = (result.scalars()["unit_mem/0"] for result in callback.history)
    assert one != other


def test_epochs_of_earlier_versions_are_read(tmp_path, digits, transform):
    pl.seed_everything(0, verbose=False)
    callback = MemorizationCallback(
        digits, transform, MEMBERS, n_views=2, every_n_epochs=1
    )
    trainer = quiet_trainer(tmp_path, callback, max_epochs=2)
    trainer.fit(SimCLR(), loader(digits, MEMBERS, transform))
    folder = tmp_path / "memorization"
    (folder / "epoch=0" / "unit-mem").rename(folder / "epoch=0" / "unit_mem")
    epochs = [result.settings["epoch"] for result in load_epochs(folder)]
    assert epochs == [0, 1]
