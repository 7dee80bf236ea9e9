import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torchvision import transforms

from lightly_memloc import load_result, measure_layer_mem, measure_unit_mem
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import pool_trials, summarize_trials
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
from lightly_memloc.results import LayerMemResult, UnitMemResult

pytestmark = pytest.mark.slow

UNITS = pd.DataFrame(
    {
        "layer": ["a"] * 4 + ["b"] * 6,
        "unit": [0, 1, 2, 3, 0, 1, 2, 3, 4, 5],
        "unit_mem": [0.9, 0.1, 0.5, 0.0, 0.8, 0.7, 0.2, 0.3, 0.6, 0.4],
        "dead": [False] * 3 + [True] + [False] * 6,
    }
)


@pytest.fixture
def unit_mem():
    return UnitMemResult({}, {"units": UNITS})


@pytest.mark.parametrize(
    ("strategy", "amount", "per_layer", "expected"),
    [
        ("highest", 1, True, {"a": [0], "b": [0]}),
        ("lowest", 2, True, {"a": [1, 2], "b": [2, 3]}),
        ("highest", 0.5, True, {"a": [0, 2], "b": [0, 1, 4]}),
        ("highest", 4, False, {"a": [0], "b": [0, 1, 4]}),
        ("lowest", 1 / 3, False, {"a": [1], "b": [2, 3]}),
        ("highest", 3, True, {"a": [0, 1, 2], "b": [0, 1, 4]}),
        ("lowest", 9, False, {"a": [0, 1, 2], "b": [0, 1, 2, 3, 4, 5]}),
        # 0.3 of 3 units is 0.9, of 6 is 1.8.
        ("highest", 0.3, True, {"a": [0], "b": [0, 1]}),
    ],
)
def test_units_by_their_unit_mem(unit_mem, strategy, amount, per_layer, expected):
    found = select_units(
        unit_mem, strategy=strategy, amount=amount, per_layer=per_layer
    )
    assert found == expected


def test_a_tenth_of_the_units_of_each_layer_is_selected_by_default():
    """Layer a has 20 units, each with a higher UnitMem than the 10 units of layer b."""
    units = pd.DataFrame(
        {
            "layer": ["a"] * 20 + ["b"] * 10,
            "unit": [*range(20), *range(10)],
            "unit_mem": np.linspace(1, 0, 30),
            "dead": False,
        }
    )
    result = UnitMemResult({}, {"units": units})
    assert select_units(result, strategy="highest") == {"a": [0, 1], "b": [0]}
    default, zero, one = (
        select_units(result, strategy="random", amount=5, **seed)
        for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert default == zero != one


def test_random_units_are_live_and_follow_the_seed(unit_mem):
    counts = np.zeros(3)
    for seed in range(600):
        chosen = select_units(unit_mem, "random", 1, seed=seed)
        assert chosen == select_units(unit_mem, "random", 1, seed=seed)
        counts[chosen["a"][0]] += 1
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("amount", [0, -1, 4, 40])
def test_impossible_amounts(unit_mem, amount):
    with pytest.raises(MemorizationError, match="of the 3 live units of layer a"):
        select_units(unit_mem, "highest", amount)


def test_an_unknown_strategy(unit_mem):
    with pytest.raises(MemorizationError, match="Unknown strategy 'best'"):
        select_units(unit_mem, "best")


def layer_mem(**columns):
    return LayerMemResult(
        {}, {"layers": pd.DataFrame({"layer": list("abc")} | columns)}
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Steps: 0.02, -0.01, 0.04.
        ([0.02, 0.01, 0.05], ["c", "a", "b"]),
        # Steps: 0.05, 0.01, -0.03; the layer with the largest value is second.
        ([0.05, 0.06, 0.03], ["a", "b", "c"]),
    ],
)
@pytest.mark.parametrize("name", ["calibrated", "symmetric"])
def test_layers_by_what_they_add(name, values, expected):
    columns = {"calibrated": [np.nan] * 3, "symmetric": [np.nan] * 3} | {name: values}
    assert ranked_layers(layer_mem(**columns)) == expected


def test_layers_are_ranked_by_calibrated_layer_mem_where_all_have_it():
    symmetric = [0.01, 0.03, 0.08]
    calibrated = [0.05, 0.06, 0.03]
    both = layer_mem(calibrated=calibrated, symmetric=symmetric)
    assert ranked_layers(both) == ["a", "b", "c"]
    partly = layer_mem(calibrated=[0.05, np.nan, 0.03], symmetric=symmetric)
    assert ranked_layers(partly) == ["c", "b", "a"]


@pytest.mark.parametrize("symmetric", [[np.nan] * 3, [0.1, np.nan, 0.2]])
def test_layers_without_an_estimate_are_not_ranked(symmetric):
    with pytest.raises(MemorizationError, match="needs a reference encoder"):
        ranked_layers(layer_mem(calibrated=[np.nan] * 3, symmetric=symmetric))


TRIALS = pd.DataFrame(
    [
        ("highest", 0, 0.5, 0.8, "x"),
        ("random", 0, 0.7, 0.8, "x"),
        ("highest", 1, 0.6, 0.9, "x"),
        ("random", 1, 0.6, 0.9, "x"),
        ("highest", 2, 0.3, 0.7, "x"),
        ("random", 2, 0.65, 0.7, "x"),
    ],
    columns=["strategy", "trial", "accuracy", "baseline", "where"],
)


def test_summary_of_trials(tmp_path):
    result = summarize_trials(TRIALS, {"intervention": "prune"})
    table = result.to_pandas().set_index("strategy")
    change = np.array([-0.3, -0.3, -0.4])
    test = stats.ttest_1samp(change, 0)
    row = table.loc["highest"]
    assert row["change"] == pytest.approx(change.mean())
    assert row["change_error"] == pytest.approx(stats.sem(change))
    assert row["change_p"] == pytest.approx(test.pvalue)
    assert row["change_low"] == pytest.approx(test.confidence_interval().low)
    assert row[["baseline", "accuracy"]].tolist() == pytest.approx([0.8, 1.4 / 3])
    over = stats.ttest_rel(change, [-0.1, -0.3, -0.05])
    assert row["over_random"] == pytest.approx((-0.2 + 0 - 0.35) / 3)
    assert row["over_random_p"] == pytest.approx(over.pvalue)
    assert np.isnan(table.loc["random", "over_random"])
    assert result.scalars()["prune/highest"] == row["change"]
    result.save(tmp_path)
    assert load_result(tmp_path).to_pandas().equals(result.to_pandas())


def test_trials_of_several_encoders_are_pooled():
    one, two = (
        summarize_trials(TRIALS[TRIALS["trial"] == trial], {"intervention": "prune"})
        for trial in (0, 1)
    )
    assert np.isnan(one.to_pandas()["change_p"]).all()
    noted = pool_trials({"r1": one, "r2": two})
    assert noted.settings["notes"] == ["Fewer than three trials give no intervals."]
    three = summarize_trials(TRIALS[TRIALS["trial"] == 2], {"intervention": "prune"})
    pooled = pool_trials({"r1": one, "r2": two, "r3": three})
    whole = summarize_trials(TRIALS, {"intervention": "prune"})
    pd.testing.assert_frame_equal(pooled.to_pandas(), whole.to_pandas())
    assert set(pooled.trials_to_pandas()["trial"]) == {"r1/0", "r2/1", "r3/2"}
    assert pooled.settings["runs"] == ["r1", "r2", "r3"]
    assert pooled.settings["notes"] == []


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
        assert row["accuracy"] == logistic_probe(f, task).value
        pruned.undo()
        assert row["baseline"] == logistic_probe(f, task).value
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


def test_more_layers_than_there_are(encoders, measured, task):
    with pytest.raises(MemorizationError, match="Expected 1 to 8 layers"):
        measure_exchange(*encoders, measured, task, n_layers=9)


def test_an_unknown_probe(encoders, measured, task):
    with pytest.raises(MemorizationError, match="Unknown probe 'svm'"):
        measure_exchange(*encoders, measured, task, probe="svm")
