from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightly_memloc import (
    load_result,
)
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import pool_trials, summarize_trials, summarize_tuning
from lightly_memloc.functional import accuracy_change


def test_scalars_and_settings_of_tuned_units():
    units = pd.DataFrame(
        {
            "layer": ["one"] * 3,
            "before": [0.25, 0.25, 0.25],
            "after": [0.5, 0.75, 0.5],
            "wins": True,
        }
    )
    result = summarize_tuning(units, {"steps": 4})
    assert result.scalars() == {"unit_mem_rise/one": pytest.approx(1 / 3)}
    assert result.settings == {"steps": 4, "skipped": []}


STRATEGIES = ("highest", "random")


def intervention(trials, n_images=30, seed=0, **settings):
    """Trials with random answers to the same test images."""
    rng = np.random.default_rng(seed)
    images, rows = [], []
    for trial in trials:
        answers = {"baseline": rng.random(n_images) < 0.8}
        for strategy, share in zip(STRATEGIES, (0.5, 0.7), strict=True):
            answers[strategy] = rng.random(n_images) < share
            means = answers[strategy].mean(), answers["baseline"].mean()
            rows.append((strategy, trial, *means, "x"))
        images.append(
            pd.DataFrame({"trial": trial, "index": range(n_images), **answers})
        )
    columns = ["strategy", "trial", "accuracy", "baseline", "where"]
    return summarize_trials(
        pd.DataFrame(rows, columns=columns),
        pd.concat(images),
        {"intervention": "prune", **settings},
    )


def answers_of(result, column):
    """Answers to the test images, one row per trial."""
    images = result.to_pandas("images")
    return [of[column].to_numpy(float) for _, of in images.groupby("trial", sort=False)]


def assert_columns(row, name, estimate):
    expected = estimate.columns(name)
    assert row[list(expected)].tolist() == pytest.approx(list(expected.values()))


def test_summary_of_trials(tmp_path):
    result = intervention(range(3))
    table = result.to_pandas().set_index("strategy")
    baseline, highest, random = (
        answers_of(result, column) for column in ("baseline", *STRATEGIES)
    )
    row = table.loc["highest"]
    assert row["trials"] == 3
    assert row["baseline"] == pytest.approx(np.mean(baseline))
    assert row["accuracy"] == pytest.approx(np.mean(highest))
    assert_columns(row, "change", accuracy_change(baseline, highest))
    assert_columns(row, "over_random", accuracy_change(random, highest))
    assert table.loc["random"].filter(like="over_random").isna().all()
    assert_columns(table.loc["random"], "change", accuracy_change(baseline, random))
    assert result.settings["notes"] == []
    trials = result.trials_to_pandas().set_index(["strategy", "trial"])
    assert (trials["n_test"] == 30).all()
    changed = np.mean(np.not_equal(highest[1], baseline[1]))
    assert trials["discordant"]["highest", 1] == pytest.approx(changed)
    assert result.scalars()["prune/highest"] == row["change"]
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    for name in ("summary", "trials", "images"):
        pd.testing.assert_frame_equal(loaded.to_pandas(name), result.to_pandas(name))


def test_one_trial_has_an_interval_but_no_comparison_with_random_choice():
    result = intervention([4])
    row = result.to_pandas().set_index("strategy").loc["highest"]
    baseline, highest, random = (
        answers_of(result, column) for column in ("baseline", *STRATEGIES)
    )
    assert_columns(row, "change", accuracy_change(baseline, highest))
    assert row["over_random"] == pytest.approx(np.mean(highest) - np.mean(random))
    endings = [f"over_random_{end}" for end in ("error", "low", "high", "p")]
    assert row[endings].isna().all()
    assert result.settings["notes"][0].startswith("One trial: the intervals are over")


def test_a_strategy_without_answers_of_its_own_is_the_baseline():
    drawn = intervention(range(3))
    head = drawn.trials_to_pandas().replace({"strategy": {"highest": "head"}})
    images = drawn.to_pandas("images").drop(columns="highest")
    result = summarize_trials(head, images, {"intervention": "finetune"})
    row = result.to_pandas().set_index("strategy").loc["head"]
    assert row["accuracy"] == row["baseline"]
    fields = ["change", "change_error", "change_low", "change_high", "change_p"]
    assert row[fields].tolist() == [0, 0, 0, 0, 1]
    over = accuracy_change(answers_of(drawn, "random"), answers_of(drawn, "baseline"))
    assert_columns(row, "over_random", over)
    trials = result.trials_to_pandas().set_index("strategy")
    assert (trials["discordant"]["head"] == 0).all()


def test_trials_of_several_encoders_are_pooled():
    results = {f"r{seed}": intervention([seed], seed=seed) for seed in range(3)}
    pooled = pool_trials(results)
    row = pooled.to_pandas().set_index("strategy").loc["highest"]
    baseline, highest, random = (
        np.concatenate([answers_of(result, column) for result in results.values()])
        for column in ("baseline", *STRATEGIES)
    )
    assert_columns(row, "change", accuracy_change(baseline, highest))
    assert_columns(row, "over_random", accuracy_change(random, highest))
    assert set(pooled.trials_to_pandas()["trial"]) == {"r0/0", "r1/1", "r2/2"}
    assert pooled.settings["runs"] == ["r0", "r1", "r2"]
    assert pooled.settings["notes"] == []


def test_the_trials_of_an_encoder_are_averaged_before_encoders_are_compared():
    results = {f"r{k}": intervention(range(k + 1), seed=k) for k in range(3)}
    row = pool_trials(results).to_pandas().set_index("strategy").loc["highest"]
    baseline, highest = (
        [np.mean(answers_of(result, column), axis=0) for result in results.values()]
        for column in ("baseline", "highest")
    )
    assert row["trials"] == 6
    assert row["accuracy"] == pytest.approx(np.mean(highest))
    assert_columns(row, "change", accuracy_change(baseline, highest))


def test_encoders_tested_on_different_images():
    """Images have the indices 0 to 29 in one run and 20 to 49 in the other."""
    one, two = intervention([0], seed=1), intervention([0], seed=2)
    moved = two.to_pandas("images")
    moved["index"] += 20
    two = replace(two, tables={**two.tables, "images": moved})
    row = pool_trials({"one": one, "two": two}).to_pandas().iloc[0]
    baseline, highest = (
        np.stack(
            [
                np.pad(answers_of(one, column)[0], (0, 20), constant_values=np.nan),
                np.pad(answers_of(two, column)[0], (20, 0), constant_values=np.nan),
            ]
        )
        for column in ("baseline", "highest")
    )
    assert_columns(row, "change", accuracy_change(baseline, highest))


def test_results_of_earlier_versions_are_kept_but_not_pooled():
    folder = Path(__file__).parents[2] / "docs/results/interventions/prune-0.5"
    old = load_result(folder)
    tables = {name: of for name, of in old.tables.items() if name != "images"}
    old = replace(old, tables=tables)
    saved = pd.read_csv(folder / "summary.csv")
    pd.testing.assert_frame_equal(old.to_pandas(), saved)
    with pytest.raises(MemorizationError, match="trials of before were saved without"):
        pool_trials({"before": old, "now": intervention(range(3))})


def test_the_rise_of_dependent_units_covers_that_of_their_layer():
    """Units depend on each other, but those that are tuned are drawn at random."""
    rng, n_draws = np.random.default_rng(0), 300
    covered = 0
    for _ in range(n_draws):
        groups = rng.normal(size=8).repeat(8)
        rises = 0.3 + 0.1 * rng.normal() + 0.1 * groups + 0.03 * rng.normal(size=64)
        after = rng.choice(rises, 5, replace=False)
        units = {"layer": "one", "before": 0.0, "after": after, "wins": True}
        row = summarize_tuning(pd.DataFrame(units), {}).layers_to_pandas().iloc[0]
        covered += row["rise_low"] <= rises.mean() <= row["rise_high"]
    assert covered >= stats.binom.ppf(0.05, n_draws, 0.95)


def test_layers_are_summarised_over_their_units():
    units = pd.DataFrame(
        {
            "layer": ["a", "a", "a", "a", "b", "b"],
            "unit": [0, 1, 2, 3, 0, 1],
            "index": range(6),
            "filename": list("uvwxyz"),
            "before": [0.1, 0.2, 0.3, 0.5, 0.4, 0.4],
            "after": [0.4, 0.9, 0.5, 0.4, 0.5, 0.9],
            "wins": [True, True, False, False, True, False],
        }
    )
    layers = summarize_tuning(units, {}).layers_to_pandas()
    test = stats.ttest_rel(units["after"][:4], units["before"][:4])
    low, high = test.confidence_interval()
    a, b = (layers.iloc[number] for number in (0, 1))
    assert (a["layer"], a["units"], a["wins"], b["wins"]) == ("a", 4, 2, 1)
    assert a[["before", "after", "rise"]].tolist() == pytest.approx(
        [0.275, 0.55, 0.275]
    )
    assert a[["rise_low", "rise_high", "rise_p"]].tolist() == pytest.approx(
        [low, high, test.pvalue]
    )
    assert b[["rise_low", "rise_high", "rise_p"]].isna().all()
