import copy
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Subset
from torchvision import transforms

from lightly_memloc import MemorizationSplit, measure_layer_mem
from lightly_memloc.data import Study, filename_of
from lightly_memloc.evaluators import LayerMemEvaluator
from lightly_memloc.interventions import (
    curate,
    measure_unit_tuning,
    retrain_without,
    tune_unit,
    write_filename_lists,
)
from lightly_memloc.probes import ProbeTask
from lightly_memloc.training import (
    Run,
    TrainingConfig,
    make_plain_transform,
    run,
    train_pair,
)

pytestmark = pytest.mark.slow

IMAGES = [3, 8, 11, 19, 40]
CONFIG = TrainingConfig.for_data(
    "digits", backbone="resnet9-slim", epochs=2, batch_size=16
)
SPLIT = MemorizationSplit.random(1797, 16, 6, 8, seed=4, exclude=range(40, 1797))


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


def test_measuring_leaves_the_model_and_the_generators_as_they_were(
    encoders, digits, transform, generator_states
):
    encoder = encoders[0].train()
    encoder.layer2.requires_grad_(False)
    before, states = copy.deepcopy(encoder.state_dict()), generator_states()
    images = Subset(digits, range(50, 62))
    result = measure_unit_tuning(
        encoder, Study(images, transform, n_views=2), layers="layer2.conv", steps=1
    )
    assert generator_states() == states
    assert all(module.training for module in encoder.modules())
    assert [p.requires_grad for p in encoder.layer2.parameters()] == [False] * 3
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])
    table = result.to_pandas()
    assert table["unit"].is_unique
    assert table["filename"].tolist() == [
        digits.filenames[50 + index] for index in table["index"]
    ]


def test_a_fifth_of_each_class_of_nested_data_sets_tests(digits, transform):
    by_class = [
        np.flatnonzero(np.asarray(digits.targets) == digit)[:20] for digit in (2, 5, 7)
    ]
    dataset = ConcatDataset([Subset(digits, images.tolist()) for images in by_class])
    tasks = [ProbeTask.of_dataset(dataset, transform, seed) for seed in (0, 0, 1)]
    for task in tasks:
        assert sorted([*task.train, *task.test]) == list(range(60))
        assert np.bincount(task.test_targets).tolist() == [0, 0, 4, 0, 0, 4, 0, 4]
        assert [t for _, of in task.loader(task.test) for t in of.tolist()] == (
            task.test_targets.tolist()
        )
    assert np.array_equal(tasks[0].test, tasks[1].test)
    assert not np.array_equal(tasks[0].test, tasks[2].test)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Run.train(tmp_path_factory.mktemp("run"), "digits", SPLIT, CONFIG)


def task_of(trained):
    return ProbeTask(
        trained.dataset(),
        np.union1d(trained.split.trained_f, trained.split.trained_g),
        trained.split.external,
        make_plain_transform(CONFIG),
    )


def curation_of(trained, amount=3):
    measured = measure_layer_mem(
        trained.encoder("f"),
        trained.encoder("g"),
        trained.dataset(),
        trained.split,
        trained.transform(),
        n_views=2,
    )
    return curate(measured, amount)


def test_the_lists_name_each_image_of_a_data_set_once(trained, tmp_path):
    curation = curation_of(trained)
    dataset = Subset(trained.dataset(), range(40))
    write_filename_lists(curation, dataset, tmp_path)
    left_out, kept = (
        (tmp_path / f"{name}.txt").read_text().splitlines()
        for name in ("memorized", "kept")
    )
    removed = curation.to_pandas()["index"].tolist()
    assert left_out == [filename_of(dataset, index) for index in removed]
    assert kept == [
        filename_of(dataset, index) for index in range(40) if index not in removed
    ]


class Killed(BaseException):
    pass


def dies_while_copying(source, target):
    with open(source, "rb") as whole, open(target, "wb") as part:
        part.write(whole.read(1000))
    raise Killed


def dies(*args, **options):
    raise Killed


@pytest.mark.parametrize(
    ("module", "name", "death"),
    [
        (shutil, "copyfile", dies_while_copying),
        (run, "_describe", dies),
        (run, "_write_losses", dies),
        (LayerMemEvaluator, "run", dies),
    ],
)
def test_an_interrupted_retraining_ends_as_an_uninterrupted_one(
    trained, tmp_path, monkeypatch, module, name, death
):
    curation, task = curation_of(trained), task_of(trained)

    def retrained(folder):
        return retrain_without(trained, curation, task, folder, probe="knn", n_views=2)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, death)
        with pytest.raises(Killed):
            retrained(tmp_path / "interrupted")
    gone_on = retrained(tmp_path / "interrupted")
    whole = retrained(tmp_path / "whole")
    for table, of in whole.tables.items():
        pd.testing.assert_frame_equal(gone_on.tables[table], of)
    assert not list(tmp_path.rglob("*.partial"))


def test_retraining_follows_a_run_with_shared_seeds_and_no_independent_images(
    tmp_path, digits
):
    config = replace(CONFIG, share_seeds=True)
    split = MemorizationSplit.random(1797, 16, 0, 8, seed=4, exclude=range(40, 1797))
    original = Run.train(tmp_path / "run", "digits", split, config)
    curation = curation_of(original)
    retrain_without(
        original,
        curation,
        task_of(original),
        tmp_path / "again",
        probe="knn",
        n_views=2,
    )
    for name, images in (
        ("memorized", curation.to_pandas()["index"]),
        ("random", np.random.default_rng(0).choice(split.candidate, 3, False)),
    ):
        left = [i for i in split.candidate.tolist() if i not in set(images)]
        new = Run(tmp_path / "again" / f"without-{name}")
        assert new.split.candidate.tolist() == left
        f, g = train_pair(digits, replace(split, candidate=left), config)
        for encoder, expected in (("f", f), ("g", g)):
            weights = new.encoder(encoder).state_dict()
            for entry, value in expected.backbone.state_dict().items():
                assert torch.equal(weights[entry], value)
