import copy

import numpy as np
import pytest
import torch
from lightly.transforms import SimCLRTransform
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.data import Subset
from torchvision import transforms

from lightly_memloc.data import Digits
from lightly_memloc.errors import MemorizationError
from lightly_memloc.probes import (
    ProbeTask,
    fine_tune,
    knn_probe,
    linear_probe,
    logistic_probe,
    measure_probes,
)
from lightly_memloc.training import ResNet9

PLAIN = transforms.ToTensor()
FAST = ("logistic", "knn")


@pytest.fixture
def task(digits):
    return ProbeTask(digits, range(100, 180), range(40), PLAIN, batch_size=16)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ResNet9(width=4)


class Pixels(nn.Module):
    def forward(self, images):
        return images[:, 0]


def of(digits, indices):
    pixels = np.stack([np.asarray(digits.images[i])[..., 0] for i in indices]) / 255
    return pixels.reshape(len(pixels), -1), np.array(digits.targets)[list(indices)]


def test_logistic_regression_of_pixels(digits, task):
    (x, y), (x_test, y_test) = of(digits, task.train), of(digits, task.test)
    std = np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    model = LogisticRegression(max_iter=1000).fit((x - x.mean(axis=0)) / std, y)
    hits = model.predict((x_test - x.mean(axis=0)) / std) == y_test
    found = logistic_probe(Pixels(), task)
    assert found.value == hits.mean()
    assert found.low < found.value < found.high
    assert found.value > 0.7


@pytest.mark.parametrize("k", [1, 5, 500])
def test_nearest_neighbours_of_pixels(digits, task, k):
    (x, y), (x_test, y_test) = of(digits, task.train), of(digits, task.test)
    norm = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, x_test)]
    hits = 0
    for query, target in zip(norm[1], y_test, strict=True):
        cosine = norm[0] @ query
        nearest = np.argsort(-cosine)[:k]
        votes = np.zeros(10)
        for image in nearest:
            votes[y[image]] += np.exp(cosine[image] / 0.1)
        hits += int(votes.argmax() == target)
    assert knn_probe(Pixels(), task, k=k).value == hits / len(y_test)


class OnCircle:
    """Points of the unit circle as images, each by its angle and class."""

    def __init__(self, *points):
        angles, self.targets = zip(*points, strict=True)
        self.points = [torch.tensor([np.cos(a), np.sin(a)]).float() for a in angles]

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index].view(2, 1, 1), self.targets[index]

    def hits(self, n_test, **options):
        """Number of the last points whose class the others tell."""
        split = len(self) - n_test
        task = ProbeTask(self, range(split), range(split, len(self)), lambda x: x)
        return n_test * knn_probe(nn.Flatten(), task, **options).value


def test_twenty_neighbours_by_default():
    """Two queries of class 0, at right angles: neighbours of one are far from the other.

    The first has one neighbour of class 1, which weighs as much as 18.5 others, all of
    class 0: class 0 wins with 20 neighbours or more. The second has one of class 0,
    which weighs as much as 19.5 others of class 1: class 0 wins with at most 20.
    """
    # A neighbour at this angle weighs exp(cos / 0.1), one at the query exp(1 / 0.1).
    first, second = (np.arccos(1 - 0.1 * np.log(weight)) for weight in (18.5, 19.5))
    right = np.pi / 2
    points = [(0.0, 1), *[(-first, 0)] * 19, (right, 0), *[(right + second, 1)] * 20]
    circle = OnCircle(*points, (0.0, 0), (right, 0))
    hits = {k: circle.hits(2, k=k) for k in (5, 10, 19, 20, 21, 30)}
    assert hits == {5: 1, 10: 1, 19: 1, 20: 2, 21: 1, 30: 1}
    assert circle.hits(2) == 2


@pytest.mark.parametrize(("options", "hits"), [({}, 1), ({"temperature": 1.0}, 0)])
def test_the_temperature_weighs_neighbours(options, hits):
    # exp(1 / T) against 2 exp(0.9 / T): 22026 to 16206 at T = 0.1, 2.7 to 4.9 at T = 1.
    angle = np.arccos(0.9)
    circle = OnCircle((0.0, 0), (angle, 1), (-angle, 1), (0.0, 0))
    assert circle.hits(1, **options) == hits


def test_a_linear_classifier_learns_a_frozen_encoders_features(task):
    assert linear_probe(Pixels(), task, epochs=60).value > 0.7
    assert linear_probe(Pixels(), task, epochs=1, seed=1) == linear_probe(
        Pixels(), task, epochs=1, seed=1
    )


@pytest.mark.parametrize("name", ["logistic", "knn", "linear", "finetune"])
def test_a_probe_leaves_no_trace(digits, encoder, generator_states, name):
    task = ProbeTask(digits, range(60, 76), range(20), PLAIN, batch_size=8)
    encoder.train()
    encoder.prep.requires_grad_(False)
    frozen = [p.requires_grad for p in encoder.parameters()]
    before, states = copy.deepcopy(encoder.state_dict()), generator_states()
    result = measure_probes({"f": encoder}, task, [name])
    assert generator_states() == states
    assert encoder.training
    assert [p.requires_grad for p in encoder.parameters()] == frozen
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])
    table = result.to_pandas()
    assert table["probe"].tolist() == [name]
    assert result.scalars() == {f"accuracy/f/{name}": table["accuracy"][0]}


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
    assert len(seen) == 3
    assert sum(brightest > 1 for brightest in seen) == 1


def test_a_view_of_a_multi_view_transform(digits):
    task = ProbeTask(digits, range(60, 68), range(4), SimCLRTransform(input_size=8))
    images, targets = next(iter(task.loader(task.test)))
    assert images.shape == (4, 3, 8, 8)
    assert targets.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (range(10, 20), range(5, 12), "Image 10 and 1 more are to be trained and tes"),
        ([], range(5), "no images to train a probe on"),
        (range(5), [], "no images to test a probe on"),
        ([0, 10], [1], "labelled images of at least two"),
    ],
)
def test_tasks_that_say_nothing(digits, train, test, message):
    with pytest.raises(MemorizationError, match=message):
        ProbeTask(digits, train, test, PLAIN)


def test_targets_are_the_data_sets_even_where_items_have_none(digits):
    class Bare:
        targets = digits.targets

        def __len__(self):
            return len(digits)

        def __getitem__(self, index):
            return digits[index][0]

    tasks = [
        ProbeTask(of, range(100, 180), range(40), PLAIN, batch_size=16)
        for of in (Bare(), digits)
    ]
    for ours, expected in zip(*(t.loader(t.test) for t in tasks), strict=True):
        assert torch.equal(ours[1], expected[1])
    first, second = (knn_probe(Pixels(), task) for task in tasks)
    assert first == second


def test_a_fifth_of_each_class_of_a_data_set_tests(digits):
    whole = Subset(digits, range(400))
    task = ProbeTask.of_dataset(whole, PLAIN, seed=3, batch_size=16)
    assert sorted([*task.train, *task.test]) == list(range(400))
    counts = np.bincount([digits[i][1] for i in range(400)])
    held_out = np.bincount(task.test_targets, minlength=10)
    assert (np.abs(held_out - counts / 5) < 1).all()
    again, other = (ProbeTask.of_dataset(whole, PLAIN, seed) for seed in (3, 4))
    assert again.test.tolist() == task.test.tolist() != other.test.tolist()
    assert task.batch_size == 16


def test_a_class_of_one_image_cannot_be_divided(digits):
    with pytest.raises(MemorizationError, match="fifth of each class"):
        ProbeTask.of_dataset(Subset(digits, [0, 1, 10, 11, 20]), PLAIN)


def test_a_data_set_without_classes_cannot_be_divided():
    with pytest.raises(MemorizationError, match="labelled images of at least two"):
        ProbeTask.of_dataset([Digits()[i][0] for i in range(8)], PLAIN)


def test_images_without_classes():
    images = [Digits()[i][0] for i in range(8)]
    with pytest.raises(MemorizationError, match="labelled images of at least two"):
        ProbeTask(images, range(4), range(4, 8), PLAIN)


def test_a_subset_keeps_its_own_numbers(digits):
    part = ProbeTask(Subset(digits, range(50, 90)), range(20), range(20, 40), PLAIN)
    whole = ProbeTask(digits, range(50, 70), range(70, 90), PLAIN)
    for name in FAST:
        one, other = (
            measure_probes({"f": Pixels()}, task, [name]).to_pandas()
            for task in (part, whole)
        )
        assert one.equals(other)


def test_an_unknown_probe(task):
    with pytest.raises(MemorizationError, match="Unknown probe 'svm'; choose from log"):
        measure_probes({"f": Pixels()}, task, ["svm"])


def test_features_of_maps_are_flattened(task):
    class Maps(nn.Module):
        def forward(self, images):
            return F.avg_pool2d(images, 2)

    class Flat(Maps):
        def forward(self, images):
            return super().forward(images).flatten(1)

    one, other = (
        measure_probes({"f": model}, task, FAST).to_pandas()
        for model in (Maps(), Flat())
    )
    assert one.equals(other)


def small(digits, **options):
    return ProbeTask(digits, range(60, 76), range(100, 300), PLAIN, **options)


PROBED = {
    "linear": lambda encoder, task, seed: linear_probe(encoder, task, seed=seed),
    "finetune": lambda encoder, task, seed: (
        fine_tune(encoder, task, seed=seed).accuracy
    ),
}


@pytest.mark.parametrize("name", PROBED)
def test_measured_probes_follow_the_seed(digits, encoder, name):
    task = small(digits, batch_size=8)
    encoder = Pixels() if name == "linear" else encoder
    result = measure_probes({"f": encoder}, task, [name], seed=1)
    expected = {seed: PROBED[name](encoder, task, seed) for seed in (0, 1)}
    columns = ["accuracy", "low", "high"]
    assert tuple(result.to_pandas()[columns].iloc[0]) == tuple(expected[1])
    assert expected[0] != expected[1]
    settings = {"train": 16, "test": 200, "classes": 10, "seed": 1, "skipped": []}
    assert result.settings == settings


def test_the_seed_initialises_a_fine_tuned_classifier(digits, encoder):
    # Without a step of training, accuracy is that of the first weights.
    task = small(digits, batch_size=8)

    def untrained(seed):
        options = {"layers": [], "epochs": 1, "learning_rate": 0.0}
        return fine_tune(encoder, task, seed=seed, **options).accuracy.value

    assert len({untrained(seed) for seed in range(4)}) > 1
    assert untrained(1) == untrained(1)


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
    assert first == second


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


def test_classes_are_counted_up_to_the_largest(digits):
    indices = [i for i in range(400) if digits.targets[i] in (2, 7)]
    task = ProbeTask(digits, indices[:40], indices[40:], PLAIN)
    assert task.num_classes == 10
    ours = ProbeTask(Subset(digits, indices), range(40), range(40, 60), PLAIN)
    assert ours.num_classes == 8
    assert set(ours.train_targets) == set(ours.test_targets) == {2, 7}
    assert knn_probe(Pixels(), ours).value > 0.9


def test_the_first_of_several_views(digits):
    def several(image):
        return [PLAIN(image), 1 - PLAIN(image)]

    task = ProbeTask(digits, range(60, 68), range(4), several)
    images, _ = next(iter(task.loader(task.test)))
    assert torch.equal(images, torch.stack([PLAIN(digits[i][0]) for i in range(4)]))


def test_a_task_of_a_data_set_has_its_loading_options(digits):
    task = ProbeTask.of_dataset(digits, PLAIN, batch_size=17, num_workers=1)
    loaders = [task.loader(task.test), task.train_loader(seed=0)]
    assert [loader.batch_size for loader in loaders] == [17, 17]
    assert [loader.num_workers for loader in loaders] == [1, 1]
