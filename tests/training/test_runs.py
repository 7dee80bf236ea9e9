import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from lightly_memloc.data import Digits, open_dataset, targets_of
from lightly_memloc.errors import DivergedError, MemorizationError
from lightly_memloc.training import (
    Run,
    Runs,
    measure_ssl_mem_runs,
    train_runs,
)
from tests.training.small_runs import (
    ROLES,
    empty_config,
    lose,
    lose_split,
    times,
    weights,
)


@pytest.fixture
def drawn(monkeypatch):
    """What train_runs would train: splits and settings, run by run."""
    calls = []

    def train(folder, data, split, config, device, callbacks, allow_duplicates, title):
        calls.append((folder.name, split, config))

    monkeypatch.setattr(Run, "train", train)

    def drawn(path, n_runs, *arguments, **options):
        calls.clear()
        train_runs(path, "digits", n_runs, *arguments, **options)
        return calls.copy()

    return drawn


def test_splits_give_every_image_that_is_not_external_to_f_or_g(drawn, tmp_path):
    classes = targets_of(open_dataset("digits"))
    for _, split, _ in drawn(tmp_path, 4):
        sizes = len(split.candidate), len(split.independent), len(split.external)
        assert sizes == (809, 809, 179)
        assert len(split.shared) == 0
        assert len(set(np.concatenate([split.trained_f, split.trained_g]))) == 1618
        f, g = (np.bincount(classes[of]) for of in (split.candidate, split.independent))
        assert np.abs(f - g).max() <= 2


def test_an_odd_image_is_shared(drawn, tmp_path):
    (_, split, _), *_ = drawn(tmp_path, 2, external=180)
    sizes = len(split.candidate), len(split.independent), len(split.shared)
    assert sizes == (808, 808, 1)


def test_an_image_is_trained_on_in_about_half_of_the_runs(drawn, tmp_path):
    n_runs = 60
    splits = [split for _, split, _ in drawn(tmp_path, n_runs)]
    for role in ("candidate", "independent"):
        counts = np.bincount(
            np.concatenate([getattr(split, role) for split in splits]), minlength=1797
        )
        share = 809 / 1797
        low, high = stats.binom.interval(1 - 1e-6, n_runs, share)
        assert low <= counts.min() <= counts.max() <= high
        # Runs are drawn apart: neither do images keep their role, nor take turns.
        expected = n_runs * share * (1 - share)
        assert counts.var() == pytest.approx(expected, rel=0.15)
    of_f = np.array([np.isin(np.arange(1797), split.candidate) for split in splits])
    both = (of_f.astype(int) @ of_f.T)[np.triu_indices(n_runs, 1)]
    spread = stats.hypergeom(1797, 809, 809).std()
    assert np.abs(both - 809 * 809 / 1797).max() < 5.5 * spread


def test_splits_and_seeds_differ_between_runs_and_follow_the_settings_seed(
    drawn, config, tmp_path
):
    first = drawn(tmp_path / "a", 5, config)
    again = drawn(tmp_path / "b", 5, config)
    other = drawn(tmp_path / "c", 5, replace(config, seed=1))
    assert [name for name, _, _ in first] == [f"run-{k}" for k in range(1, 6)]
    splits = {tuple(split.candidate) for _, split, _ in first + other}
    seeds = {settings.seed for _, _, settings in first + other}
    assert (len(splits), len(seeds)) == (10, 10)
    for (_, split, settings), (_, same, as_before) in zip(first, again, strict=True):
        assert split.candidate.tolist() == same.candidate.tolist()
        assert split.external.tolist() == same.external.tolist()
        assert settings == as_before == replace(config, seed=settings.seed)


def test_how_each_run_is_trained(monkeypatch, tmp_path, config):
    calls = []

    def train(folder, data, split, config, device, callbacks, allow_duplicates, title):
        calls.append((folder, data, device, callbacks, allow_duplicates, title))

    monkeypatch.setattr(Run, "train", train)
    train_runs(
        tmp_path,
        "digits",
        2,
        config,
        device="cpu",
        callbacks=["memorization"],
        allow_duplicates=True,
    )
    assert calls == [
        (
            tmp_path / f"run-{k}",
            "digits",
            "cpu",
            ["memorization"],
            True,
            f"Run {k} of 2: training",
        )
        for k in (1, 2)
    ]


def test_the_first_runs_are_the_same_however_many_there_are(drawn, config, tmp_path):
    few, many = drawn(tmp_path / "a", 2, config), drawn(tmp_path / "b", 6, config)
    for (name, split, settings), (same, other, others) in zip(few, many, strict=False):
        assert (name, settings) == (same, others)
        assert split.candidate.tolist() == other.candidate.tolist()


def test_the_trained_runs_hold_what_was_asked_for(folder):
    runs = Runs(folder)
    assert runs.names == ["run-1", "run-2", "run-3"]
    assert {path.name for path in folder.iterdir()} == {*runs.names, "runs.json"}
    trained = [Run(folder / name) for name in runs.names]
    for run in trained:
        assert run.is_trained
        split = run.split
        sizes = len(split.candidate), len(split.independent), len(split.external)
        assert (sizes, len(split.shared)) == ((8, 6, 6), 4)
        assert max(split.trained_f.max(), split.trained_g.max()) < 24
    first, second, third = map(weights, trained)
    for name, value in first.items():
        if name.endswith("conv.weight"):
            assert not torch.equal(value, second[name])
            assert not torch.equal(value, third[name])


@pytest.mark.parametrize("n_runs", [1, 0, -1])
def test_fewer_than_two_runs_are_refused(tmp_path, config, n_runs):
    message = f"Expected at least two runs, got {n_runs}"
    with pytest.raises(MemorizationError, match=message):
        train_runs(tmp_path / "runs", "digits", n_runs, config, **ROLES)
    assert not (tmp_path / "runs").exists()


def test_runs_that_are_added_leave_the_others_as_they_are(copy, config):
    before = {name: times(copy / name) for name in ("run-1", "run-2", "run-3")}
    runs = train_runs(copy, "digits", 4, config, **ROLES)
    assert runs.names == Runs(copy).names == ["run-1", "run-2", "run-3", "run-4"]
    assert {name: times(copy / name) for name in before} == before
    added = Run(copy / "run-4")
    assert added.is_trained
    olds = [Run(copy / name).split.candidate.tolist() for name in before]
    assert added.split.candidate.tolist() not in olds


def test_what_was_interrupted_is_gone_on_with(copy, folder, config):
    for lost in ("run-2/g.ckpt", "run-2/losses.csv"):
        (copy / lost).unlink()
    shutil.rmtree(copy / "run-3")
    before = times(copy / "run-1")
    kept = (copy / "run-2" / "f.ckpt").stat().st_mtime_ns
    train_runs(copy, "digits", 3, config, **ROLES)
    assert times(copy / "run-1") == before
    assert (copy / "run-2" / "f.ckpt").stat().st_mtime_ns == kept
    for name in ("run-2", "run-3"):
        found, expected = weights(Run(copy / name)), weights(Run(folder / name))
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        losses = Run(folder / name).losses()
        pd.testing.assert_frame_equal(Run(copy / name).losses(), losses)


def test_other_settings_are_refused(copy, config):
    before = {name: times(copy / name) for name in Runs(copy).names}
    for changes, roles, message in (
        ({"epochs": 2}, ROLES, "run-1 contains another run: epochs is 1 there and 2"),
        (
            {"seed": 1},
            ROLES,
            "run-1 contains another run: seed is .*; the split differs",
        ),
        ({}, ROLES | {"candidate": 7}, "run-1 contains another run: the split differs"),
    ):
        with pytest.raises(MemorizationError, match=message):
            train_runs(copy, "digits", 3, replace(config, **changes), **roles)
    assert {name: times(copy / name) for name in before} == before
    train_runs(copy, "digits", 3, replace(config, num_workers=1), **ROLES)


@pytest.mark.parametrize(
    "content", [None, "{", "[]", "{}", '{"runs": "many"}', '{"runs": null}']
)
def test_other_folders_are_no_folders_of_runs(tmp_path, content):
    if content is not None:
        (tmp_path / "runs.json").write_text(content)
    for use in (Runs, measure_ssl_mem_runs):
        with pytest.raises(MemorizationError, match="is no folder of runs") as error:
            use(tmp_path)
        assert str(tmp_path) in str(error.value)


def test_a_folder_of_runs_is_told_from_a_run(folder, tmp_path):
    assert Runs.is_runs(folder)
    assert not Runs.is_runs(folder / "run-1")
    assert not Runs.is_runs(tmp_path / "nowhere")
    with pytest.raises(MemorizationError, match="is a single run"):
        measure_ssl_mem_runs(folder / "run-1", n_views=2)


@pytest.mark.parametrize("break_", [lose, lose_split, empty_config])
def test_the_data_set_is_that_of_any_complete_run(copy, break_):
    break_(copy / "run-1")
    assert len(Runs(copy).dataset()) == len(Digits())
    for name in ("run-2", "run-3"):
        break_(copy / name)
    with pytest.raises(
        MemorizationError, match=r"None of the 3 runs in .* is complete"
    ):
        Runs(copy).dataset()


def test_a_refused_command_changes_nothing(copy, config):
    before = (copy / "runs.json").read_text()
    with pytest.raises(MemorizationError):
        train_runs(copy, "digits", 5, replace(config, epochs=2), **ROLES)
    assert (copy / "runs.json").read_text() == before


def test_fewer_runs_forget_none(copy, config):
    train_runs(copy, "digits", 2, config, **ROLES)
    assert Runs(copy).names == ["run-1", "run-2", "run-3"]


def test_a_run_is_no_folder_of_runs(copy, config):
    with pytest.raises(MemorizationError):
        train_runs(copy / "run-1", "digits", 2, config, **ROLES)
    assert not Runs.is_runs(copy / "run-1")


def test_no_contrast_is_refused_before_training(tmp_path, config):
    none = ROLES | {"independent": 0, "external": 0}
    with pytest.raises(MemorizationError, match="independent"):
        train_runs(tmp_path / "runs", "digits", 2, config, **none)
    assert not (tmp_path / "runs").exists()


def test_a_lost_encoder_is_trained_again(copy, folder, config):
    (copy / "run-2" / "g.ckpt").unlink()
    train_runs(copy, "digits", 3, config, **ROLES)
    found, expected = weights(Run(copy / "run-2")), weights(Run(folder / "run-2"))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_the_default_sizes_leave_excluded_images_out(drawn, tmp_path):
    (_, split, _), *_ = drawn(tmp_path, 2, exclude=range(100, 1797))
    sizes = len(split.candidate), len(split.independent), len(split.external)
    assert sizes == (45, 45, 10)


def test_other_runs_are_trained_if_one_diverges(tmp_path, config, monkeypatch):
    trained, train = [], Run.train.__func__

    def second_diverges(cls, folder, *arguments, **options):
        trained.append(folder.name)
        if folder.name == "run-2":
            raise DivergedError("run-2 diverged.")
        return train(cls, folder, *arguments, **options)

    monkeypatch.setattr(Run, "train", classmethod(second_diverges))
    sizes = {"candidate": 8, "independent": 8, "external": 8}
    with pytest.raises(DivergedError, match=r"1 of 3 trainings diverged.*run-2"):
        train_runs(tmp_path, "digits", 3, config, exclude=range(64, 1797), **sizes)
    assert trained == ["run-1", "run-2", "run-3"]
    assert Run(tmp_path / "run-3").is_trained
