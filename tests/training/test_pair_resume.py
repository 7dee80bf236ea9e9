"""Interrupted trainings: they end in the weights of uninterrupted ones."""

import os
import random
import signal
from functools import cache, partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightly.models.modules.heads import BarlowTwinsProjectionHead, VICRegProjectionHead

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import Digits
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import (
    Run,
    TrainingConfig,
    method_class,
    pair,
    train_pair,
)
from tests.training.test_methods import METHODS

pytestmark = pytest.mark.slow

EPOCHS = 3


class Interrupt(pl.Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise InterruptedError


class Kill(Interrupt):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        try:
            super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        except InterruptedError:
            os.kill(os.getpid(), signal.SIGKILL)


def settings(method="simclr", **changes):
    given = METHODS[method] | {"method": method, "epochs": EPOCHS} | changes
    return TrainingConfig.for_data("digits", **given)


def small_split(digits):
    exclude = range(80, len(digits))
    return MemorizationSplit.random(len(digits), 20, 20, 20, exclude=exclude)


@cache
def uninterrupted(method):
    digits = Digits()
    return train_pair(digits, small_split(digits), settings(method))


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.losses == other.losses
        weights, others = one.method.state_dict(), other.method.state_dict()
        for name, value in weights.items():
            assert torch.equal(value, others[name]), name


@pytest.fixture
def narrow_heads(monkeypatch):
    """Heads of 64 features where the methods have 2048."""
    module = "lightly_memloc.training.methods.joint_embedding"
    for head in (VICRegProjectionHead, BarlowTwinsProjectionHead):
        narrow = partial(_narrow, head)
        monkeypatch.setattr(f"{module}.{head.__name__}", narrow)


def _narrow(head, num_features, *_, **others):
    others |= {"hidden_dim": 64, "output_dim": 64}
    return head(num_features, **others)


@pytest.mark.usefixtures("narrow_heads")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    tmp_path, digits, method, workers
):
    """Every method, with all that it draws in its steps and keeps beside its weights."""
    config, split = settings(method, num_workers=workers), small_split(digits)
    interrupt = ([], [Interrupt(epoch=1)])
    with pytest.raises(InterruptedError):
        train_pair(digits, split, config, callbacks=interrupt, folder=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"f.ckpt", "g.state.ckpt"}
    torch.manual_seed(random.randrange(1000))
    resumed = train_pair(digits, split, config, folder=tmp_path)
    assert_same(uninterrupted(method), resumed)
    assert {p.name for p in tmp_path.iterdir()} == {"f.ckpt", "g.ckpt"}


def test_a_training_killed_after_its_last_epoch(tmp_path, digits):
    config, split = settings(), small_split(digits)
    whole = train_pair(digits, split, config)

    class Last(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_pair(digits, split, config, callbacks=([Last()], []), folder=tmp_path)
    again = train_pair(digits, split, config, folder=tmp_path)
    assert_same(whole, again)
    assert_same(whole, train_pair(digits, split, config, folder=tmp_path))


def train_and_die(folder, epoch):
    """Train a run in a process that is killed in an epoch of g's training."""
    train_encoder = pair._train_encoder

    def killed_in_g(*arguments, callbacks, path, **options):
        kill = [Kill(epoch)] if path.name == "g.ckpt" else []
        return train_encoder(
            *arguments, callbacks=[*callbacks, *kill], path=path, **options
        )

    pair._train_encoder = killed_in_g
    Run.train(folder, "digits", small_split(Digits()), settings())


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_run_killed_in_the_training_of_g_goes_on(tmp_path, digits, killed, epoch):
    whole = Run.train(
        tmp_path / "whole", "digits", small_split(digits), settings(num_workers=1)
    )
    folder = tmp_path / "killed"
    killed(train_and_die, folder, epoch)
    assert (folder / "f.ckpt").is_file()
    run = Run(folder)
    assert not run.is_trained
    with pytest.raises(MemorizationError, match="interrupted before g was done"):
        run.encoder("g")
    resumed = Run.train(folder, "digits", small_split(digits), settings())
    assert resumed.is_trained
    for name in ("f", "g"):
        for value, other in zip(
            whole.encoder(name).state_dict().values(),
            resumed.encoder(name).state_dict().values(),
            strict=True,
        ):
            assert torch.equal(value, other)
    assert whole.losses().equals(resumed.losses())


def test_workers_change_nothing(digits):
    split = small_split(digits)
    assert_same(
        uninterrupted("simclr"),
        train_pair(digits, split, settings(num_workers=2)),
    )


def test_shared_seeds_give_the_same_start_and_the_same_views(digits):
    """With nobody's images of their own, f and g are one encoder."""
    split = MemorizationSplit(len(digits), shared=np.arange(40))
    f, g = train_pair(digits, split, settings(share_seeds=True))
    assert_same([f], [g])
    f, g = train_pair(digits, split, settings())
    assert f.losses != g.losses


def test_a_file_of_another_training_is_refused(tmp_path, digits):
    split = small_split(digits)
    train_pair(digits, split, settings("simclr"), folder=tmp_path)
    with pytest.raises(MemorizationError, match=r"f.ckpt belongs to a training with"):
        train_pair(digits, split, settings("byol"), folder=tmp_path)
    (tmp_path / "f.ckpt").write_bytes(b"torn")
    with pytest.raises(
        MemorizationError, match=r"f.ckpt cannot be read .*Remove it to"
    ):
        train_pair(digits, split, settings("simclr"), folder=tmp_path)


@pytest.mark.parametrize("content", ["torn", "byol"])
def test_the_state_of_another_training_is_refused(tmp_path, digits, content):
    split = small_split(digits)
    interrupt = ([Interrupt(epoch=1)], [])
    with pytest.raises(InterruptedError):
        train_pair(
            digits, split, settings("byol"), callbacks=interrupt, folder=tmp_path
        )
    if content == "torn":
        (tmp_path / "f.state.ckpt").write_bytes(b"torn")
    with pytest.raises(MemorizationError, match=r"f.state.ckpt .*Remove it to train"):
        train_pair(digits, split, settings("simclr"), folder=tmp_path)


def test_every_method_is_resumed_in_the_tests():
    of_the_package = {
        name
        for name, method in method_class("simclr").registry.items()
        if method.__module__.startswith("lightly_memloc.")
    }
    assert of_the_package == set(METHODS)
