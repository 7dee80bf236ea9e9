import copy

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms

from lightly_memloc.interventions import (
    tune_unit,
)
from lightly_memloc.training import (
    TrainingConfig,
)

pytestmark = pytest.mark.slow

IMAGES = [3, 8, 11, 19, 40]
CONFIG = TrainingConfig.for_data(
    "digits", backbone="resnet9-slim", epochs=2, batch_size=16
)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU()

    def first_call(self, images):
        return self.twice(self.stem(images).relu()).relu()

    def forward(self, images):
        once = self.relu(self.twice(self.relu(self.stem(images))))
        return self.relu(self.twice(once)).mean((2, 3))


def convolutional(norm=None):
    before = [nn.Conv2d(3, 6, 3), *([] if norm is None else [norm]), nn.ReLU()]
    return nn.Sequential(*before, nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten())


def fully_connected():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(768, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 4)
    )


# The model, the layer, where its units are read, and what holds the units' rows.
MODELS = {
    "no norm": (convolutional, "0", lambda m, x: m[:2](x), ["0"]),
    "batch norm": (
        lambda: convolutional(nn.BatchNorm2d(6)),
        "0",
        lambda m, x: m[:3](x),
        ["0", "1"],
    ),
    "group norm": (
        lambda: convolutional(nn.GroupNorm(3, 6)),
        "0",
        lambda m, x: m[:3](x),
        ["0", "1"],
    ),
    "layer norm": (fully_connected, "1", lambda m, x: m[:4](x), ["1", "2"]),
    "runs twice": (Recurrent, "twice", Recurrent.first_call, ["twice"]),
}


@pytest.fixture
def view():
    """A transform that is not random: whatever is drawn, the views are known."""
    return transforms.Compose(
        [transforms.Resize(16), transforms.ToTensor(), lambda image: image.double()]
    )


@pytest.fixture(params=MODELS)
def subject(request, shifted):
    make, layer, read, holders = MODELS[request.param]
    return shifted(make()).double(), layer, read, holders


def on_images(read, model, views):
    answers = read(model, views).relu()
    return answers if answers.dim() == 2 else answers.mean((2, 3))


def tuned_by_hand(model, read, holders, unit, views, steps, learning_rate):
    """Adam [0] on the documented loss; the first view is the image's.

    - [0]: Adam, 2014, https://arxiv.org/abs/1412.6980
    """
    model = copy.deepcopy(model)
    parameters = {
        f"{holder}.{name}": parameter
        for holder in holders
        for name, parameter in model.get_submodule(holder).named_parameters()
    }
    rates = {
        name: learning_rate
        * model.get_submodule(name.split(".")[0]).weight.abs().mean().item()
        for name in parameters
    }
    first = {name: 0.0 for name in parameters}
    second = {name: 0.0 for name in parameters}
    with torch.no_grad():
        c = on_images(read, model, views)[:, unit].mean() / 10
    for step in range(1, steps + 1):
        powers = (1 + on_images(read, model, views)[:, unit] / c) ** 3
        loss = -torch.log(powers[0] / powers.sum())
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for (name, parameter), gradient in zip(
            parameters.items(), gradients, strict=True
        ):
            own = gradient[unit]
            first[name] = 0.9 * first[name] + 0.1 * own
            second[name] = 0.999 * second[name] + 0.001 * own**2
            mean, square = (
                first[name] / (1 - 0.9**step),
                second[name] / (1 - 0.999**step),
            )
            with torch.no_grad():
                parameter[unit] -= rates[name] * mean / (square.sqrt() + 1e-8)
    return model


def answering(read, model, views):
    """A unit that answers to the image and to others."""
    mu = on_images(read, model, views).detach()
    return int(mu.min(dim=0).values.argmax())


@pytest.mark.parametrize("steps", [1, 4])
def test_the_row_takes_the_steps_that_adam_takes_on_the_loss(
    subject, digits, view, steps
):
    model, layer, read, holders = subject
    views = torch.stack([view(digits[index][0]) for index in IMAGES])
    unit = answering(read, model, views)
    tuned = tune_unit(
        model, layer, unit, digits, view, 3, IMAGES, steps=steps, learning_rate=0.05
    )
    expected = tuned_by_hand(model, read, holders, unit, views, steps, 0.05)
    before = model.state_dict()
    for name, value in tuned.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name])
        if name.rpartition(".")[0] not in holders or not value.dim():
            assert torch.equal(value, before[name])
            continue
        others = np.delete(np.arange(len(value)), unit)
        assert torch.equal(value[others], before[name][others])
        is_statistic = "running" in name
        assert torch.equal(value[unit], before[name][unit]) == is_statistic


def test_the_first_step_is_the_rate_against_the_gradients_sign(digits, view, shifted):
    model = shifted(convolutional()).double()
    views = torch.stack([view(digits[index][0]) for index in IMAGES])
    unit = answering(MODELS["no norm"][2], model, views)
    tuned = tune_unit(
        model, "0", unit, digits, view, 3, IMAGES, steps=1, learning_rate=0.05
    )
    rate = 0.05 * model[0].weight.abs().mean().item()

    def loss(bias):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            changed[0].bias[unit] += bias
            mu = on_images(MODELS["no norm"][2], changed, views)[:, unit]
            c = on_images(MODELS["no norm"][2], model, views)[:, unit].mean() / 10
        return -3 * torch.log1p(mu[0] / c) + torch.log(((1 + mu / c) ** 3).sum())

    slope = (loss(1e-5) - loss(-1e-5)).sign().item()
    moved = (tuned[0].bias[unit] - model[0].bias[unit]).item()
    assert moved == pytest.approx(-slope * rate, rel=1e-4)
    by_weight = (tuned[0].weight[unit] - model[0].weight[unit]).abs()
    torch.testing.assert_close(
        by_weight, torch.full_like(by_weight, rate), rtol=1e-3, atol=0
    )


def test_the_image_itself_is_no_other_and_repeated_others_count_once(
    subject, digits, view
):
    model, layer, read, _ = subject
    views = torch.stack([view(digits[index][0]) for index in IMAGES])
    unit = answering(read, model, views)
    states = [
        tune_unit(model, layer, unit, digits, view, 3, indices, steps=2).state_dict()
        for indices in (IMAGES, IMAGES[1:], torch.tensor(IMAGES + IMAGES[2:]))
    ]
    for state in states[1:]:
        for name, value in state.items():
            torch.testing.assert_close(value, states[0][name])


def test_a_group_norm_passes_the_change_on_within_the_group_alone(
    digits, view, shifted
):
    model = shifted(convolutional(nn.GroupNorm(3, 6))).double()
    views = torch.stack([view(digits[index][0]) for index in IMAGES])
    unit = answering(MODELS["group norm"][2], model, views)
    tuned = tune_unit(model, "0", unit, digits, view, 3, IMAGES, steps=2)
    same = [
        torch.equal(before, after)
        for before, after in zip(
            model[:2](views).unbind(1), tuned[:2](views).unbind(1), strict=True
        )
    ]
    assert same == [other // 2 != unit // 2 for other in range(6)]
