import copy

import pytest
import torch
from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.probes import ProbeTask, fine_tune
from lightly_memloc.training import ResNet9
from tests.probes.pixels import PLAIN, small

SEGMENTS = {
    "layer1.head.conv": ["layer1.head.conv.", "layer1.head.bn."],
    "layer3.residual": ["layer3.residual.conv2.", "layer3.residual.bn2."],
    "layer2": ["layer2."],
}


@pytest.mark.parametrize("layers", [*([name] for name in SEGMENTS), list(SEGMENTS), []])
def test_only_the_chosen_layers_are_tuned(digits, encoder, layers):
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
    task = ProbeTask(digits, range(60, 92), range(20), PLAIN, batch_size=8)
    before = copy.deepcopy(encoder.state_dict())
    tuned = fine_tune(encoder, task, layers, epochs=2).encoder
    prefixes = tuple(prefix for layer in layers for prefix in SEGMENTS[layer])
    for name, value in tuned.state_dict().items():
        changed = not torch.equal(value, before[name])
        assert changed == name.startswith(prefixes or ("none",)), name
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_tuning_all_changes_everything_and_learns(digits):
    torch.manual_seed(0)
    task = ProbeTask(digits, range(100, 300), range(60), PLAIN, batch_size=32)
    encoder = ResNet9(width=8)
    whole = fine_tune(encoder, task, epochs=12, learning_rate=0.5)
    for name, value in whole.encoder.state_dict().items():
        assert not torch.equal(value, encoder.state_dict()[name]), name
    head = fine_tune(encoder, task, [], epochs=12, learning_rate=0.5)
    assert whole.accuracy.value > head.accuracy.value
    assert not whole.encoder.training


def test_the_seed_initialises_a_fine_tuned_classifier(digits, encoder):
    # Without a step of training, accuracy is that of the first weights.
    task = small(digits, batch_size=8)

    def untrained(seed):
        options = {"layers": [], "epochs": 1, "learning_rate": 0.0}
        return fine_tune(encoder, task, seed=seed, **options).accuracy.value

    assert len({untrained(seed) for seed in range(4)}) > 1
    assert untrained(1) == untrained(1)


def test_the_learning_rate_of_fine_tuning(digits, encoder):
    task = small(digits, batch_size=8)
    tuned = fine_tune(encoder, task, epochs=1, learning_rate=0.0).encoder
    for (name, before), after in zip(
        encoder.named_parameters(), tuned.parameters(), strict=True
    ):
        assert torch.equal(before, after), name
    assert not torch.equal(tuned.prep.bn.running_mean, encoder.prep.bn.running_mean)


def test_fine_tuned_parameters_require_gradients_as_before(digits, encoder):
    encoder.prep.requires_grad_(False)
    tuned = fine_tune(encoder, small(digits), layers=["layer2"], epochs=1).encoder
    for before, after in zip(encoder.parameters(), tuned.parameters(), strict=True):
        assert after.requires_grad == before.requires_grad


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_diverges_is_refused(digits, encoder, epochs):
    """In the last step, the weights overflow after the loss was computed."""
    task = small(digits, batch_size=16 if epochs == 1 else 4)
    how = "its predictions are" if epochs == 1 else "its loss is"
    with pytest.raises(MemorizationError, match=f"classifier diverged: {how}"):
        fine_tune(encoder, task, epochs=epochs, learning_rate=1e38)


@pytest.mark.parametrize("n_images", [16, 17, 25])
def test_batchnorm_after_the_last_position_is_trained(digits, n_images):
    """One value per channel and image: a batch of one image has no variance."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
    ).eval()
    task = ProbeTask(digits, range(100, 100 + n_images), range(20), PLAIN, batch_size=8)
    tuned = fine_tune(encoder, task, epochs=2).encoder
    assert tuned[1].num_batches_tracked == 2 * (n_images // 8)
