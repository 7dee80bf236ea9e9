import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from lightly_memloc.probes import ProbeTask, knn_probe, logistic_probe, measure_probes
from tests.probes.pixels import Pixels


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
    assert found.correct.tolist() == hits.tolist()
    assert found.low < found.value < found.high
    assert found.value > 0.7


@pytest.mark.parametrize("k", [1, 5, 500])
def test_nearest_neighbours_of_pixels(digits, task, k):
    (x, y), (x_test, y_test) = of(digits, task.train), of(digits, task.test)
    norm = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, x_test)]
    hits = []
    for query, target in zip(norm[1], y_test, strict=True):
        cosine = norm[0] @ query
        nearest = np.argsort(-cosine)[:k]
        votes = np.zeros(10)
        for image in nearest:
            votes[y[image]] += np.exp(cosine[image] / 0.1)
        hits.append(votes.argmax() == target)
    found = knn_probe(Pixels(), task, k=k)
    assert found.correct.tolist() == hits
    assert found.value == np.mean(hits)


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


def test_features_of_maps_are_flattened(task):
    class Maps(nn.Module):
        def forward(self, images):
            return F.avg_pool2d(images, 2)

    class Flat(Maps):
        def forward(self, images):
            return super().forward(images).flatten(1)

    one, other = (
        measure_probes({"f": model}, task, ("logistic", "knn")).to_pandas()
        for model in (Maps(), Flat())
    )
    assert one.equals(other)
