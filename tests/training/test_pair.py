import random

import numpy as np
import pytest
import torch

from lightly_memloc import MemorizationSplit, measure_layer_mem
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import (
    TrainingConfig,
    make_backbone,
    make_transform,
    train_pair,
)
from lightly_memloc.training.methods import method_class


@pytest.fixture(scope="module")
def config():
    return TrainingConfig.for_data(
        "digits", backbone="resnet9-slim", epochs=3, batch_size=32, learning_rate=2e-3
    )


@pytest.fixture
def split(digits):
    return MemorizationSplit.random(
        len(digits), 32, 32, 32, exclude=range(160, len(digits))
    )


def weights(encoder):
    return torch.cat([value.flatten() for value in encoder.backbone.parameters()])


def test_training_lowers_the_loss_and_differs_between_f_and_g(digits, split, config):
    f, g = train_pair(digits, split, config)
    for encoder in (f, g):
        assert len(encoder.losses) == 3
        assert encoder.losses[-1] < encoder.losses[0]
    assert not torch.equal(weights(f), weights(g))
    result = measure_layer_mem(
        f.backbone, g.backbone, digits, split, make_transform(config), n_views=2
    )
    assert result.to_pandas()["layer"].iloc[-1] == "pool"


def test_same_seed_same_weights_whatever_the_generators(digits, split, config):
    torch.manual_seed(5)
    one = train_pair(digits, split, config)
    torch.manual_seed(6)
    two = train_pair(digits, split, config)
    for first, second in zip(one, two, strict=True):
        assert torch.equal(weights(first), weights(second))
        assert first.losses == second.losses


def test_training_restores_the_generators(digits, split, config):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    train_pair(digits, split, config)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    assert before[2] == random.getstate()


def test_f_and_g_see_their_own_images_only(digits, split, config):
    read = []

    class Recording:
        def __len__(self):
            return len(digits)

        def __getitem__(self, index):
            read.append(index)
            return digits[index]

    one_epoch = TrainingConfig.for_data(
        "digits", backbone="resnet9-slim", epochs=1, batch_size=8
    )
    train_pair(Recording(), split, one_epoch)
    n_f = len(split.trained_f)
    assert sorted(read[:n_f]) == split.trained_f.tolist()
    assert sorted(read[n_f:]) == split.trained_g.tolist()


def test_resnet18_trains(digits, split):
    config = TrainingConfig.for_data(
        "digits", backbone="resnet18", epochs=2, batch_size=32, input_size=16
    )
    f, _ = train_pair(digits, split, config)
    assert f.method.num_features == 512
    assert f.losses[-1] < f.losses[0]


def test_a_custom_transform(digits, split, config, transform):
    def two_views(image):
        return [transform(image), transform(image)]

    f, _ = train_pair(digits, split, config, two_views)
    assert f.losses[-1] < f.losses[0]


def test_bad_settings_are_refused(digits, split, config):
    with pytest.raises(MemorizationError, match=r"made for 10 images.*has 1797"):
        train_pair(digits, MemorizationSplit.random(10, 2, 2), config)
    with pytest.raises(MemorizationError, match="Cannot train on 1 images"):
        train_pair(
            digits, MemorizationSplit(len(digits), candidate=[0], external=[1]), config
        )
    with pytest.raises(MemorizationError, match="did you mean 'resnet9'"):
        make_backbone("resnet7", 16)
    with pytest.raises(MemorizationError, match="'dreaming'; choose from barlow"):
        method_class("dreaming")
