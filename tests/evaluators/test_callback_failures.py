"""A measurement that cannot be made, before and during a training."""

import random

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lightly_memloc import MemorizationCallback, OnlineUnitMemCallback
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from tests.evaluators.trainings import SimCLR, conv_net, loader, quiet_trainer

MEMBERS = np.arange(20, 36)


class Failing:
    """Images, one of which cannot be read once so many have been read."""

    def __init__(self, dataset, bad=None):
        self.dataset = dataset
        self.bad = bad

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        if index == self.bad:
            raise OSError("truncated")
        return self.dataset[index]


class Spoil(pl.Callback):
    """Make the second epoch's encoder give infinite values to the callback alone."""

    def __init__(self):
        self.handle = None

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            self.handle = pl_module.backbone[4].register_forward_hook(
                lambda module, args, output: output * float("inf")
            )

    def on_train_epoch_start(self, trainer, pl_module):
        if self.handle is not None:
            self.handle.remove()


def fit(tmp_path, digits, transform, *callbacks):
    """Train for three epochs; return all that the training leaves."""
    pl.seed_everything(7, verbose=False)
    method = SimCLR()
    trainer = quiet_trainer(tmp_path, *callbacks, max_epochs=3)
    trainer.fit(method, loader(digits, MEMBERS, transform))
    states = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
    return method.state_dict(), (*states, random.getstate())


def assert_equal(one, other):
    for name, value in one[0].items():
        assert torch.equal(value, other[0][name]), name
    assert one[1] == other[1]


def test_an_unreadable_image_is_a_warning_and_training_continues(
    tmp_path, digits, transform
):
    plain = fit(tmp_path, digits, transform)
    callback = MemorizationCallback(
        Failing(digits, bad=30), transform, MEMBERS, n_views=2, every_n_epochs=2
    )
    with pytest.warns(
        MemorizationWarning, match=r"unit_mem at epoch [12]: .*truncated"
    ):
        measured = fit(tmp_path, digits, transform, callback)
    assert_equal(plain, measured)
    assert callback.history == []
    assert callback.history_to_pandas().empty
    assert [failure[:19] for failure in callback.failures] == [
        "unit_mem at epoch 1",
        "unit_mem at epoch 2",
    ]


def test_a_non_finite_activation_is_a_warning_with_the_layer(
    tmp_path, digits, transform
):
    plain = fit(tmp_path, digits, transform)
    callback = MemorizationCallback(
        digits, transform, MEMBERS, n_views=2, every_n_epochs=1
    )
    with pytest.warns(MemorizationWarning, match="epoch 1: Layer 4"):
        measured = fit(tmp_path, digits, transform, Spoil(), callback)
    assert_equal(plain, measured)
    assert [result.settings["epoch"] for result in callback.history] == [0, 2]
    assert callback.history_to_pandas()["epoch"].unique().tolist() == [0, 2]
    assert len(callback.failures) == 1
    saved = sorted(path.name for path in (tmp_path / "memorization").iterdir())
    assert saved == ["epoch=0", "epoch=2"]


def test_a_failure_ends_training_if_asked(tmp_path, digits, transform):
    callback = MemorizationCallback(
        Failing(digits, bad=30), transform, MEMBERS, n_views=2, on_error="raise"
    )
    with pytest.raises(MemorizationError, match="truncated"):
        fit(tmp_path, digits, transform, callback)


def test_an_unknown_on_error_is_refused(digits, transform):
    with pytest.raises(MemorizationError, match="'warn' or 'raise', got 'ignore'"):
        MemorizationCallback(digits, transform, on_error="ignore")


class NeedsMask(torch.nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images, mask):
        return self.backbone(images * mask)


class MaskedSimCLR(SimCLR):
    """A method whose backbone needs a mask beside the images."""

    def __init__(self):
        super().__init__(encoder=NeedsMask(conv_net()))

    @property
    def encoder_in_training(self):
        return lambda view: self.backbone(view, torch.ones(()))


@pytest.mark.parametrize("name", ["MemorizationCallback", "OnlineUnitMemCallback"])
def test_a_backbone_that_needs_more_than_images_is_refused_before_the_first_step(
    tmp_path, digits, transform, name
):
    callback = (
        MemorizationCallback(digits, transform, MEMBERS, n_views=2)
        if name == "MemorizationCallback"
        else OnlineUnitMemCallback()
    )
    trainer = quiet_trainer(tmp_path, callback, max_epochs=1)
    with pytest.raises(MemorizationError, match=r"NeedsMask does not run.*'mask'"):
        trainer.fit(MaskedSimCLR(), loader(digits, MEMBERS, transform))
    assert trainer.global_step == 0


def broken(image):
    raise AttributeError("no such crop")


@pytest.mark.parametrize(
    ("bad", "options", "message"),
    [
        (20, {}, "truncated"),
        (None, {"layers": "layer9"}, "layer9"),
        (None, {"transform": broken}, "no such crop"),
        (None, {"backbone": "projection_head"}, "projection_head.*RuntimeError"),
    ],
    ids=["image", "layers", "transform", "forward"],
)
def test_what_cannot_work_is_refused_before_the_first_step(
    tmp_path, digits, transform, bad, options, message
):
    pl.seed_everything(0, verbose=False)
    options = {"transform": transform, "indices": MEMBERS, "n_views": 2} | options
    callback = MemorizationCallback(Failing(digits, bad), **options)
    trainer = quiet_trainer(tmp_path, callback, max_epochs=1)
    with pytest.raises(MemorizationError, match=message):
        trainer.fit(SimCLR(), loader(digits, MEMBERS, transform))
    assert trainer.global_step == 0


def test_the_trial_leaves_out_unreadable_images_if_asked(tmp_path, digits, transform):
    class TwoBad(Failing):
        def __getitem__(self, index):
            if index in (20, 21):
                raise OSError("truncated")
            return self.dataset[index]

    callback = MemorizationCallback(
        TwoBad(digits), transform, MEMBERS, n_views=2, skip_unreadable=True
    )
    fit(tmp_path, digits, transform, callback)
    [result] = callback.history
    assert len(result.settings["skipped"]) == 2


def test_images_in_the_order_of_their_classes_are_tried(tmp_path, digits, transform):
    targets = np.array([digits[index][1] for index in range(60)])
    order = np.argsort(targets, kind="stable")
    callback = MemorizationCallback(
        digits, transform, order, n_views=2, evaluators=["class_mem"]
    )
    fit(tmp_path, digits, transform, callback)
    assert [result.kind for result in callback.history] == ["class-mem"]
