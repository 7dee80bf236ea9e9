import copy
from dataclasses import replace

import pytest
import torch
from torchvision import transforms

from lightly_memloc import measure_layer_mem, measure_unit_mem
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import pool_trials
from lightly_memloc.interventions import (
    exchange_layers,
    measure_exchange,
    measure_fine_tuning,
    measure_pruning,
    prune_units,
    ranked_layers,
    select_units,
)
from lightly_memloc.probes import ProbeTask, fine_tune, linear_probe, logistic_probe

pytestmark = pytest.mark.slow


@pytest.fixture
def task(digits):
    plain = transforms.Compose([transforms.Resize(16), transforms.ToTensor()])
    return ProbeTask(digits, range(100, 180), range(40, 80), plain, batch_size=40)


@pytest.fixture
def measured(encoders, digits, small_split, transform):
    f, g = encoders
    return measure_layer_mem(f, g, digits, small_split, transform, n_views=2)


def test_pruning_is_measured_as_done_by_hand(encoders, digits, transform, task):
    f, _ = encoders
    before = copy.deepcopy(f.state_dict())
    result = measure_pruning(
        f,
        Study(digits, transform, indices=range(12), n_views=2),
        task,
        amount=0.5,
        seeds=[3, 4],
    )
    trials = result.trials_to_pandas().set_index(["strategy", "trial"])
    chosen = result.units_to_pandas().set_index(["strategy", "trial"]).sort_index()
    images = result.to_pandas("images").set_index("trial")
    for seed in (3, 4):
        unit_mem = measure_unit_mem(
            f, digits, transform, range(12), n_views=2, seed=seed
        )
        units = select_units(unit_mem, "highest", 0.5)
        listed = chosen.loc[("highest", seed)]
        assert (
            listed.groupby("layer", sort=False)["unit"].apply(list).to_dict() == units
        )
        pruned = prune_units(f, units)
        row = trials.loc[("highest", seed)]
        by_hand = logistic_probe(f, task)
        correct = by_hand.correct.tolist()
        assert row["accuracy"] == by_hand.value
        pruned.undo()
        assert row["baseline"] == logistic_probe(f, task).value
        of_trial = images.loc[seed]
        assert of_trial["index"].tolist() == list(range(40, 80))
        assert of_trial["baseline"].mean() == row["baseline"]
        assert of_trial["highest"].tolist() == correct
        changed = (of_trial["highest"] != of_trial["baseline"]).mean()
        assert (row["n_test"], row["discordant"]) == (40, changed)
    for name, value in f.state_dict().items():
        assert torch.equal(value, before[name])
    pooled = pool_trials({"one": result, "two": result})
    units = pooled.units_to_pandas()
    assert len(units) == 2 * len(result.units_to_pandas())
    assert set(units["trial"]) == {"one/3", "one/4", "two/3", "two/4"}


@pytest.fixture
def seeded_task(digits, task):
    """So few images to train on that the seed of a linear classifier shows."""
    return replace(task, train=range(100, 116), test=range(400, 600))


def test_options_of_pruning_are_used_as_done_by_hand(
    encoders, digits, transform, seeded_task
):
    f, _ = encoders
    task = seeded_task
    choice = {"amount": 6, "per_layer": False}
    layers = ["layer1.residual", "layer2.conv"]
    result = measure_pruning(
        f,
        Study(digits, transform, indices=range(12), n_views=2),
        task,
        layers=layers,
        **choice,
        strategies=("random", "lowest"),
        probe="linear",
        seeds=[3],
    )
    trials = result.trials_to_pandas().set_index("strategy")
    chosen = result.units_to_pandas().set_index("strategy")
    unit_mem = measure_unit_mem(
        f, digits, transform, range(12), layers=layers, n_views=2, seed=3
    )
    assert trials.index.tolist() == ["random", "lowest"]
    assert (trials["where"] == "6 units").all()
    assert (trials["baseline"] == linear_probe(f, task, seed=3).value).all()
    for strategy in ("random", "lowest"):
        units = select_units(unit_mem, strategy=strategy, **choice, seed=3)
        listed = chosen.loc[strategy].groupby("layer", sort=False)["unit"].apply(list)
        assert listed.to_dict() == units
        pruned = prune_units(f, units)
        accuracy = {seed: linear_probe(f, task, seed=seed).value for seed in (0, 3)}
        pruned.undo()
        assert trials["accuracy"][strategy] == accuracy[3]
        assert accuracy[3] != accuracy[0]


def test_options_of_an_exchange_are_used_as_done_by_hand(
    encoders, measured, seeded_task
):
    f, g = encoders
    task = seeded_task
    options = {"probe": "linear", "seed": 3}
    result = measure_exchange(f, g, measured, task, n_layers=2, **options)
    rows = result.trials_to_pandas()
    assert (rows["baseline"] == linear_probe(f, task, seed=3).value).all()
    mixed = [exchange_layers(f, g, where.split(", ")) for where in rows["where"]]
    expected = [linear_probe(encoder, task, seed=3).value for encoder in mixed]
    assert rows["accuracy"].tolist() == expected
    assert linear_probe(mixed[0], task, seed=0).value != expected[0]


def test_random_layers_of_an_exchange_follow_the_seed(encoders, measured, task):
    def drawn(seed):
        result = measure_exchange(*encoders, measured, task, n_layers=3, seed=seed)
        rows = result.trials_to_pandas().set_index("strategy")
        return rows["where"]["random"]

    of_seeds = [drawn(seed) for seed in range(3)]
    assert len(set(of_seeds)) == 3
    assert drawn(1) == of_seeds[1]


def test_options_of_fine_tuning_are_used_as_done_by_hand(encoders, measured, task):
    f, _ = encoders
    options = {"epochs": 3, "learning_rate": 0.5}
    result = measure_fine_tuning(
        f, measured, task, n_layers=2, **options, seeds=[0, 1, 2]
    )
    rows = result.trials_to_pandas().set_index(["strategy", "trial"])
    ranked = [layer for layer in ranked_layers(measured) if layer != "pool"]
    wheres = [rows["where"]["random", seed] for seed in (0, 1, 2)]
    assert len(set(wheres)) == 3
    assert all(len(set(where.split(", "))) == 2 for where in wheres)
    assert rows["where"]["most", 1] == ", ".join(ranked[:2])
    assert rows["where"]["last", 1] == "layer3.residual.conv1, layer3.residual"
    for strategy in ("most", "last", "random"):
        layers = rows["where"][strategy, 1].split(", ")
        tuned = fine_tune(f, task, layers=layers, seed=1, **options)
        assert rows["accuracy"][strategy, 1] == tuned.accuracy.value
    slow = fine_tune(f, task, layers="auto", seed=1, epochs=3)
    assert rows["accuracy"]["all", 1] != slow.accuracy.value


@pytest.mark.parametrize("n_layers", [-1, 0])
def test_fewer_layers_than_one(encoders, measured, task, n_layers):
    with pytest.raises(MemorizationError, match=f"1 to 8 layers, .* got {n_layers}"):
        measure_exchange(*encoders, measured, task, n_layers=n_layers)


def test_exchange_is_measured_as_done_by_hand(encoders, measured, task):
    f, g = encoders
    rows = measure_exchange(f, g, measured, task, n_layers=2).trials_to_pandas()
    # The pool has no weights to exchange.
    ranked = [layer for layer in ranked_layers(measured) if layer != "pool"]
    for strategy, layers in (("most", ranked[:2]), ("least", ranked[-2:])):
        row = rows.set_index("strategy").loc[strategy]
        mixed = exchange_layers(f, g, layers)
        assert row["accuracy"] == logistic_probe(mixed, task).value
        assert row["where"] == ", ".join(layers)
    result = measure_exchange(f, g, measured, task, n_layers=len(ranked))
    with pytest.raises(MemorizationError, match="exchange intervenes in layers"):
        result.units_to_pandas()
    assert (result.to_pandas()["accuracy"] == logistic_probe(g, task).value).all()


def test_fine_tuning_is_measured_as_done_by_hand(encoders, measured, task):
    f, _ = encoders
    rows = measure_fine_tuning(f, measured, task, epochs=2, seeds=[5])
    by = rows.trials_to_pandas().set_index("strategy")
    ranked = [layer for layer in ranked_layers(measured) if layer != "pool"]
    expected = {"most": [ranked[0]], "last": ["layer3.residual"], "all": "auto"}
    for strategy, layers in expected.items():
        tuned = fine_tune(f, task, layers, 5, epochs=2)
        assert by.loc[strategy, "accuracy"] == tuned.accuracy.value
    head = fine_tune(f, task, [], 5, epochs=2).accuracy.value
    assert (by["baseline"] == head).all()
    assert by.loc["head", "accuracy"] == head
    columns = ["trial", "index", "baseline", "most", "last", "random", "all"]
    assert rows.to_pandas("images").columns.tolist() == columns


def test_more_layers_than_there_are(encoders, measured, task):
    with pytest.raises(MemorizationError, match="Expected 1 to 8 layers"):
        measure_exchange(*encoders, measured, task, n_layers=9)


def test_an_unknown_probe(encoders, measured, task):
    with pytest.raises(MemorizationError, match="Unknown probe 'svm'"):
        measure_exchange(*encoders, measured, task, probe="svm")
