import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lightly_memloc.errors import MemorizationError
from lightly_memloc.probes import ProbeTask, fine_tune, linear_probe
from tests.probes.pixels import PLAIN, Pixels, small


def test_a_linear_classifier_learns_a_frozen_encoders_features(task):
    assert linear_probe(Pixels(), task, epochs=60).value > 0.7
    once, again = (linear_probe(Pixels(), task, epochs=1, seed=1) for _ in range(2))
    assert list(once) == list(again)


def test_images_are_augmented_for_training_alone(digits):
    seen = []

    class Seeing(Pixels):
        def forward(self, images):
            seen.append(images.amax().item())
            return super().forward(images)

    task = ProbeTask(
        digits,
        range(60, 68),
        range(4),
        PLAIN,
        lambda image: 2 * PLAIN(image),
        batch_size=8,
    )
    linear_probe(Seeing(), task, epochs=1)
    # The features of all 12 images are checked first, in two batches.
    assert len(seen) == 4
    assert sum(brightest > 1 for brightest in seen) == 1


def test_the_seed_initialises_a_linear_classifier(digits):
    task = small(digits, batch_size=8)
    untrained = [
        linear_probe(nn.Flatten(), task, seed=seed, epochs=0).value for seed in range(4)
    ]
    assert len(set(untrained)) > 1


def test_the_seed_orders_and_augments_the_images_of_training(digits):
    def trained_on(seed):
        """Each image's mean, and what was drawn to augment it, in order."""
        seen = []

        def augment(image):
            tensor = PLAIN(image)
            seen.append((round(tensor.mean().item(), 6), torch.rand(1).item()))
            return tensor

        task = small(digits, batch_size=8, train_transform=augment)
        linear_probe(nn.Flatten(), task, seed=seed, epochs=2)
        return seen

    first, again, other = trained_on(1), trained_on(1), trained_on(2)
    assert first == again
    means = [[mean for mean, _ in seen] for seen in (first, other)]
    expected = [round(PLAIN(digits[i][0]).mean().item(), 6) for i in range(60, 76)]
    for seen in means:
        assert sorted(seen[:16]) == sorted(seen[16:]) == sorted(expected)
        assert seen[:16] != expected
        assert seen[:16] != seen[16:]
    assert means[0] != means[1]
    drawn = [draw for _, draw in first + other]
    assert len(set(drawn)) == 64


def test_learning_rates_are_those_of_the_images_in_a_batch(digits, encoder):
    """A batch of all 16 images is one of 16, whatever size was asked for."""
    tasks = [small(digits, batch_size=size) for size in (16, 4096)]
    one, other = (fine_tune(encoder, task, epochs=2) for task in tasks)
    for name, value in one.encoder.state_dict().items():
        assert_close(other.encoder.state_dict()[name], value)
    first, second = (linear_probe(Pixels(), task, epochs=3) for task in tasks)
    assert list(first) == list(second)


def test_a_classifier_that_diverges_is_refused(digits):
    class Large(Pixels):
        def forward(self, images):
            return 1e30 * super().forward(images)

    with pytest.raises(MemorizationError, match=r"diverged: its loss is (nan|inf) in"):
        linear_probe(Large(), small(digits, batch_size=8), epochs=3)
