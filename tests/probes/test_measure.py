import copy
from dataclasses import replace
from functools import partial

import pytest
import torch

from lightly_memloc.errors import MemorizationError, NonFiniteError
from lightly_memloc.probes import (
    PROBES,
    ProbeTask,
    fine_tune,
    knn_probe,
    linear_probe,
    logistic_probe,
    measure_probes,
)
from tests.probes.pixels import PLAIN, Pixels, small


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
    sizes = {"train": 16, "test": 200, "unlabelled": 0, "classes": 10}
    settings = sizes | {"seed": 1, "skipped": []}
    assert result.settings == settings


@pytest.mark.parametrize("name", ["linear", "finetune"])
def test_a_trained_probe_tells_which_test_images_it_classifies(digits, encoder, name):
    task = small(digits, batch_size=8)
    found = PROBES[name](encoder, task, 1, "cpu")
    # Each image alone: the others cannot take part.
    alone = [
        PROBES[name](encoder, replace(task, test=task.test[i : i + 1]), 1, "cpu").value
        for i in (0, 7)
    ]
    assert found.correct[[0, 7]].tolist() == [bool(value) for value in alone]
    assert found.value == found.correct.mean()
    assert len(found.correct) == len(task.test)
    assert 0 < found.value < 1


def test_an_unknown_probe(task):
    with pytest.raises(MemorizationError, match="Unknown probe 'svm'; choose from log"):
        measure_probes({"f": Pixels()}, task, ["svm"])


TESTED = {
    "logistic": logistic_probe,
    "knn": knn_probe,
    "linear": partial(linear_probe, epochs=2),
    "finetune": lambda *given: fine_tune(*given, epochs=2).accuracy,
}


@pytest.mark.parametrize("name", TESTED)
def test_a_probe_is_that_of_the_labelled_images_alone(digits, encoder, name):
    labelled = ProbeTask(digits, range(60, 76), range(20), PLAIN, batch_size=8)
    expected = TESTED[name](encoder, labelled)
    unlabelled = copy.copy(digits)
    unlabelled.targets = [*digits.targets[:80], *[None] * (len(digits) - 80)]
    task = ProbeTask(
        unlabelled, [*range(60, 76), 90, 97], [*range(20), 95], PLAIN, batch_size=8
    )
    assert TESTED[name](encoder, task) == expected
    assert measure_probes({"f": encoder}, task, ["knn"]).settings["unlabelled"] == 3


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("image", [63, 5])
def test_features_that_are_not_finite_are_refused_by_name(digits, name, image):
    class Overflowing(Pixels):
        def forward(self, images):
            features = super().forward(images).clone()
            features[(images == digit).flatten(1).all(dim=1)] = torch.inf
            return features

    digit = PLAIN(digits[image][0])
    task = ProbeTask(digits, range(60, 76), range(20), PLAIN, batch_size=8)
    message = (
        f"^Encoder g: Features of the Overflowing: Image {image} gave NaN or infinite "
    )
    with pytest.raises(NonFiniteError, match=message):
        measure_probes({"g": Overflowing()}, task, [name])


class Odd(torch.nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv, self.wrap = torch.nn.Conv2d(3, 4, 3), wrap

    def forward(self, x):
        return self.wrap(self.conv(x))


@pytest.mark.parametrize(
    ("wrap", "found"),
    [
        (lambda x: [x], "returns a list for"),
        (lambda x: {"features": x}, "returns a dict for"),
        (torch.mean, r"returns a tensor of shape \(\) for"),
        (lambda x: x[:1], r"returns a tensor of shape \(1, "),
    ],
)
@pytest.mark.parametrize("probe", ["logistic", "knn", "linear", "finetune"])
def test_encoders_that_return_no_features(digits, wrap, found, probe):
    task = ProbeTask(digits, range(8), range(8, 16), PLAIN)
    with pytest.raises(MemorizationError, match=found):
        measure_probes({"f": Odd(wrap)}, task, [probe], device="cpu")
