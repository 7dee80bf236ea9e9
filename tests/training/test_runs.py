import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import nn

from lightly_memloc.cli import app
from lightly_memloc.data import Digits, MemorizationSplit, open_dataset
from lightly_memloc.data.targets import targets_of
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators import Evaluator, measure_layer_mem
from lightly_memloc.training import (
    Run,
    Runs,
    TrainingConfig,
    measure_runs,
    measure_ssl_mem_runs,
    train_runs,
)

SIZES = (8, 6, 6)
EXCLUDE = range(24, 1797)
LAYERS = ["layer1*residual", "pool"]
QUICK = {"layers": LAYERS, "n_views": 2}


@pytest.fixture(scope="module")
def config():
    return TrainingConfig.for_data(
        "digits", backbone="resnet9-slim", epochs=1, batch_size=8
    )


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    """Three runs. Tests that change them work on a copy."""
    path = tmp_path_factory.mktemp("runs") / "three"
    train_runs(path, "digits", 3, config, *SIZES, EXCLUDE)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def measured(runs, **options):
    return measure_ssl_mem_runs(runs, **QUICK | options)


def times(folder):
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def weights(run):
    return {
        f"{name}.{key}": value
        for name in ("f", "g")
        for key, value in run.encoder(name).state_dict().items()
    }


def assert_same_numbers(first, second):
    pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas())
    pd.testing.assert_frame_equal(first.samples_to_pandas(), second.samples_to_pandas())


@pytest.fixture
def drawn(monkeypatch):
    """What train_runs would train: splits and settings, run by run."""
    calls = []

    def train(folder, data, split, config, device, callbacks, title):
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

    def train(folder, data, split, config, device, callbacks, title):
        calls.append((folder, data, device, callbacks, title))

    monkeypatch.setattr(Run, "train", train)
    train_runs(tmp_path, "digits", 2, config, device="cpu", callbacks=["memorization"])
    assert calls == [
        (
            tmp_path / f"run-{k}",
            "digits",
            "cpu",
            ["memorization"],
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
        assert (sizes, len(split.shared)) == (SIZES, 4)
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
        train_runs(tmp_path / "runs", "digits", n_runs, config, *SIZES, EXCLUDE)
    assert not (tmp_path / "runs").exists()


def test_runs_that_are_added_leave_the_others_as_they_are(copy, config):
    before = {name: times(copy / name) for name in ("run-1", "run-2", "run-3")}
    runs = train_runs(copy, "digits", 4, config, *SIZES, EXCLUDE)
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
    train_runs(copy, "digits", 3, config, *SIZES, EXCLUDE)
    assert times(copy / "run-1") == before
    assert (copy / "run-2" / "f.ckpt").stat().st_mtime_ns == kept
    for name in ("run-2", "run-3"):
        found, expected = weights(Run(copy / name)), weights(Run(folder / name))
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        losses = Run(folder / name).losses()
        pd.testing.assert_frame_equal(Run(copy / name).losses(), losses)


def test_other_settings_are_refused(copy, config):
    before = {name: times(copy / name) for name in Runs(copy).names}
    for changes, sizes, message in (
        ({"epochs": 2}, SIZES, "run-1 holds another run: epochs is 1 there and 2"),
        ({"seed": 1}, SIZES, "run-1 holds another run: seed is .*; the split differs"),
        ({}, (7, 6, 6), "run-1 holds another run: the split differs"),
    ):
        with pytest.raises(MemorizationError, match=message):
            train_runs(copy, "digits", 3, replace(config, **changes), *sizes, EXCLUDE)
    assert {name: times(copy / name) for name in before} == before
    train_runs(copy, "digits", 3, replace(config, num_workers=1), *SIZES, EXCLUDE)


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
        measured(folder / "run-1")


def test_measuring_is_combining_the_layer_mem_of_each_run(folder):
    result = measured(folder, seed=3, batch_size=5)
    scores, means = {}, {}
    for name in ("run-1", "run-2", "run-3"):
        run = Run(folder / name)
        found = measure_layer_mem(
            run.encoder("f"),
            run.encoder("g"),
            open_dataset("digits"),
            MemorizationSplit.load(folder / name / "split.json"),
            run.transform(),
            LAYERS,
            2,
            seed=3,
            n_resamples=10,
        )
        for row in found.to_pandas().to_dict("records"):
            means.setdefault(row["layer"], []).append(row["symmetric"])
            offset = (row["layer_mem"] + row["independent"]) / 2
            for image in found.samples_to_pandas().to_dict("records"):
                sign = {"candidate": 1, "independent": -1}.get(image["role"])
                if sign:
                    place = image["filename"], row["layer"]
                    score = sign * (image[row["layer"]] - offset)
                    scores.setdefault(place, []).append(score)
    table = result.to_pandas()
    assert table["layer"].tolist() == list(means) == ["layer1.residual", "pool"]
    expected = [np.mean(of_layer) for of_layer in means.values()]
    np.testing.assert_allclose(table["ssl_mem"], expected, rtol=1e-6)
    test = stats.ttest_1samp(list(means.values()), 0, axis=1)
    np.testing.assert_allclose(table["ssl_mem_p"], test.pvalue, rtol=1e-5)
    samples = result.samples_to_pandas()
    assert len(samples) == len(scores)
    for row in samples.to_dict("records"):
        of_image = scores[row["filename"], row["layer"]]
        assert row["runs"] == len(of_image)
        assert row["ssl_mem"] == pytest.approx(np.mean(of_image), rel=1e-5, abs=1e-9)
    assert result.settings["runs"] == ["run-1", "run-2", "run-3"]
    assert result.settings["left_out"] == {}


def test_a_list_of_run_folders_is_measured_like_their_folder(folder):
    listed = [folder / "run-3", str(folder / "run-1")]
    result, whole = measured(listed), measured(folder).runs_to_pandas()
    assert result.settings["runs"] == list(map(str, listed))
    rows = result.runs_to_pandas()
    for name in ("run-1", "run-3"):
        there = whole[whole["run"] == name]
        for column in ("ssl_mem", "layer_mem", "offset"):
            np.testing.assert_array_equal(
                rows[rows["run"] == str(folder / name)][column], there[column]
            )


def test_the_same_run_twice_is_one(folder):
    with pytest.raises(MemorizationError, match="at least two runs, got 1"):
        measured([folder / "run-1", folder / "run-1"])


def lose(run):
    shutil.rmtree(run)


def lose_g(run):
    (run / "g.ckpt").unlink()


def interrupt(run):
    (run / "g.ckpt").unlink()
    (run / "losses.csv").unlink()


def corrupt(run):
    (run / "f.ckpt").write_bytes(b"no checkpoint")


def cut(run):
    whole = (run / "g.ckpt").read_bytes()
    (run / "g.ckpt").write_bytes(whole[: len(whole) // 2])


def lose_split(run):
    (run / "split.json").unlink()


def empty_config(run):
    (run / "config.yaml").write_text("")


BREAKS = {
    lose: r"config\.yaml holds no training settings",
    lose_g: r"(There is no checkpoint .*g\.ckpt|interrupted before g was done)",
    interrupt: "interrupted before g was done",
    corrupt: r"f\.ckpt is no checkpoint",
    cut: r"g\.ckpt is no checkpoint",
    lose_split: r"lacks its split\.json",
    empty_config: "holds no training settings",
}


@pytest.fixture(scope="module")
def without_run_2(folder):
    return measured([folder / "run-1", folder / "run-3"])


@pytest.mark.parametrize("break_", BREAKS)
def test_a_run_that_is_missing_or_broken_is_named_and_left_out(
    copy, without_run_2, break_
):
    break_(copy / "run-2")
    match = f"run-2 is left out: .*{BREAKS[break_]}"
    with pytest.warns(MemorizationWarning, match=match) as caught:
        result = measured(copy)
    assert len(caught) == 1
    assert result.settings["runs"] == ["run-1", "run-3"]
    left_out = result.settings["left_out"]
    assert list(left_out) == ["run-2"]
    assert str(caught[0].message) == f"run-2 is left out: {left_out['run-2']}"
    assert (result.to_pandas()["runs"] == 2).all()
    assert result.to_pandas()["ssl_mem_p"].isna().all()
    assert_same_numbers(result, without_run_2)


@pytest.mark.parametrize("break_", [lose, lose_split, empty_config])
def test_the_data_set_is_that_of_any_run_that_is_there(copy, break_):
    break_(copy / "run-1")
    assert len(Runs(copy).dataset()) == len(Digits())
    for name in ("run-2", "run-3"):
        break_(copy / name)
    with pytest.raises(MemorizationError, match="holds none of its 3 runs whole"):
        Runs(copy).dataset()


def test_several_runs_that_are_left_out_are_each_named(copy, config):
    train_runs(copy, "digits", 5, config, *SIZES, EXCLUDE)
    lose(copy / "run-1")
    lose_g(copy / "run-3")
    corrupt(copy / "run-5")
    with pytest.warns(MemorizationWarning) as caught:
        result = measured(copy)
    assert [str(w.message).split()[0] for w in caught] == ["run-1", "run-3", "run-5"]
    assert list(result.settings["left_out"]) == ["run-1", "run-3", "run-5"]
    assert result.settings["runs"] == ["run-2", "run-4"]


def test_fewer_than_two_runs_left_is_an_error_that_names_the_reasons(copy):
    corrupt(copy / "run-1")
    lose_g(copy / "run-3")
    with (
        pytest.warns(MemorizationWarning, match="is left out"),
        pytest.raises(MemorizationError, match="at least two runs, got 1") as error,
    ):
        measured(copy)
    message = str(error.value)
    for name in ("run-1", "run-3"):
        assert f"{name}: " in message
        assert str(copy / name) in message
    assert "run-2" not in message


@pytest.fixture(scope="module")
def pictures(config, tmp_path_factory):
    """Runs of images of their own."""
    path = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(20):
        pixels = rng.integers(256, size=(16, 16, 3), dtype=np.uint8)
        (path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path / "images" / f"{number:02d}.png")
    settings = replace(config, batch_size=4)
    train_runs(path / "runs", str(path / "images"), 2, settings)
    return path


def test_images_of_a_folder_and_default_sizes(pictures):
    split = Run(pictures / "runs" / "run-1").split
    sizes = len(split.candidate), len(split.independent), len(split.external)
    assert (sizes, len(split.shared)) == ((9, 9, 2), 0)
    samples = measured(pictures / "runs").samples_to_pandas()
    assert samples.groupby("index")["runs"].first().sum() == 36


def test_runs_of_different_data_sets_are_refused(pictures, folder):
    mine, others = folder / "run-1", pictures / "runs" / "run-2"
    with pytest.raises(MemorizationError, match="runs of different data sets") as error:
        measured([mine, folder / "run-2", others])
    assert str(error.value).startswith(f"{mine} and {others} are")


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def test_runs_of_different_encoders_are_refused(folder, config, tmp_path):
    other = replace(config, backbone=f"{__name__}:small")
    train_runs(tmp_path, "digits", 2, other, *SIZES, EXCLUDE)
    with pytest.raises(
        MemorizationError, match=r"measured other layers|different trainings"
    ):
        measured([folder / "run-1", tmp_path / "run-2"], layers="auto")


@pytest.fixture
def measurements(monkeypatch):
    """The state files of the measurements that were begun."""
    begun = []

    def counted(*arguments, **options):
        begun.append(options.get("state_file"))
        return measure_layer_mem(*arguments, **options)

    monkeypatch.setattr(measure_runs, "measure_layer_mem", counted)
    return begun


def test_what_the_state_folder_holds_is_not_measured_again(
    copy, config, tmp_path, measurements
):
    state = tmp_path / "state"
    expected = measured(copy)
    assert measurements == [None] * 3
    measurements.clear()
    assert_same_numbers(measured(copy, state_folder=state), expected)
    names = ("run-1", "run-2", "run-3")
    assert [file.parent for file in measurements] == [state / name for name in names]
    assert not any(file.exists() for file in measurements)
    measurements.clear()
    assert_same_numbers(measured(copy, state_folder=str(state)), expected)
    assert measurements == []
    train_runs(copy, "digits", 4, config, *SIZES, EXCLUDE)
    more = measured(copy, state_folder=state)
    assert [file.parent.name for file in measurements] == ["run-4"]
    assert_same_numbers(more, measured(copy))


def test_an_interrupted_measurement_goes_on_in_its_run(
    folder, tmp_path, measurements, monkeypatch
):
    state, options = tmp_path / "state", {"batch_size": 4}
    expected = measured(folder, **options)
    measurements.clear()
    step, steps = Evaluator.validation_step, []

    def interrupted(self, batch, batch_idx):
        steps.append(batch_idx)
        # The run has 20 images, so this is in the second run.
        if len(steps) == 9:
            raise KeyboardInterrupt
        step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "validation_step", interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            measured(folder, **options, state_folder=state)
    assert (state / "run-1" / "result.json").is_file()
    assert (state / "run-2" / "state.pt").is_file()
    assert len(measurements) == 2
    measurements.clear()
    result = measured(folder, **options, state_folder=state)
    assert [file.parent.name for file in measurements] == ["run-2", "run-3"]
    assert_same_numbers(result, expected)


@pytest.mark.parametrize("other", [{"n_views": 3}, {"seed": 1}])
def test_the_state_folder_of_another_measurement_is_refused(folder, tmp_path, other):
    measured(folder, state_folder=tmp_path)
    before = times(tmp_path)
    with pytest.raises(MemorizationError, match="holds another measurement") as error:
        measured(folder, **other, state_folder=tmp_path)
    assert str(tmp_path / "run-1") in str(error.value)
    assert times(tmp_path) == before


def test_the_seed_changes_views_and_shuffled_roles(folder):
    first, again, other = measured(folder), measured(folder), measured(folder, seed=1)
    assert_same_numbers(first, again)
    for column in ("ssl_mem", "shuffled", "offset"):
        assert (first.to_pandas()[column] != other.to_pandas()[column]).all()
    assert other.settings["seed"] == 1


def test_layers_are_those_that_were_asked_for(folder):
    kinds = measured(folder, layers="pool").to_pandas()["kind"]
    assert set(kinds) == {"pool"}


def test_unreadable_images_are_left_out_if_asked(pictures, tmp_path):
    whole = shutil.copytree(pictures, tmp_path / "whole")
    for path in whole.glob("runs/*/config.yaml"):
        path.write_text(path.read_text().replace(str(pictures), str(whole)))
    for path in whole.glob("runs/*/split.json"):
        # Large data sets are fingerprinted by some of their images.
        document = json.loads(path.read_text()) | {"fingerprint": None}
        path.write_text(json.dumps(document))
    samples = measured(whole / "runs").samples_to_pandas()
    lost = samples["filename"][0]
    (whole / "images" / lost).write_bytes(b"no image")
    with pytest.raises(MemorizationError, match=lost):
        measured(whole / "runs")
    result = measured(whole / "runs", skip_unreadable=True)
    assert result.settings["skipped"] == [lost]
    assert set(samples["filename"]) - set(result.samples_to_pandas()["filename"]) == {
        lost
    }


def cli(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["x", *map(str, arguments)])
    try:
        app.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_out_beside_the_runs_keeps_them(copy, tmp_path, monkeypatch):
    runs = copy.rename(tmp_path / "runs")
    before = times(runs)
    assert (
        cli(
            monkeypatch,
            "ssl-mem",
            runs,
            "--views",
            2,
            "--layers",
            "pool",
            "--out",
            tmp_path,
        )
        == 0
    )
    assert times(runs) == before


def test_out_is_kept(copy, tmp_path, monkeypatch):
    (tmp_path / "o" / "runs").mkdir(parents=True)
    (tmp_path / "o" / "runs" / "mine.txt").write_text("1")
    assert (
        cli(
            monkeypatch,
            "ssl-mem",
            copy,
            "--views",
            2,
            "--layers",
            "pool",
            "--out",
            tmp_path / "o",
        )
        == 0
    )
    assert (tmp_path / "o" / "runs" / "mine.txt").is_file()


def test_state_of_listed_runs_is_in_the_state_folder(copy, tmp_path, measurements):
    before = times(copy)
    listed = [copy / "run-1", copy / "run-2"]
    expected = measured(listed)
    measured(listed, state_folder=tmp_path / "state")
    assert times(copy) == before
    assert len(list((tmp_path / "state").glob("**/result.json"))) == 2
    measurements.clear()
    assert_same_numbers(measured(listed, state_folder=tmp_path / "state"), expected)
    assert measurements == []


def test_a_refused_command_changes_nothing(copy, config):
    before = (copy / "runs.json").read_text()
    with pytest.raises(MemorizationError):
        train_runs(copy, "digits", 5, replace(config, epochs=2), *SIZES, EXCLUDE)
    assert (copy / "runs.json").read_text() == before


def test_fewer_runs_forget_none(copy, config):
    train_runs(copy, "digits", 2, config, *SIZES, EXCLUDE)
    assert Runs(copy).names == ["run-1", "run-2", "run-3"]


def test_a_run_is_no_folder_of_runs(copy, config):
    with pytest.raises(MemorizationError):
        train_runs(copy / "run-1", "digits", 2, config, *SIZES, EXCLUDE)
    assert not Runs.is_runs(copy / "run-1")


@pytest.mark.parametrize("layers", ["pool", "conv"])
def test_state_of_other_layers_is_refused(folder, tmp_path, layers):
    measured(folder, state_folder=tmp_path)
    with pytest.raises(MemorizationError, match="another measurement"):
        measured(folder, layers=layers, state_folder=tmp_path)


def test_state_of_another_training_is_refused(copy, config, tmp_path):
    measured(copy, state_folder=tmp_path)
    for number in (1, 2, 3):
        shutil.rmtree(copy / f"run-{number}")
    train_runs(copy, "digits", 3, replace(config, epochs=2), *SIZES, EXCLUDE)
    with pytest.raises(MemorizationError, match="another measurement"):
        measured(copy, state_folder=tmp_path)


def test_no_contrast_is_refused_before_training(tmp_path, config):
    with pytest.raises(MemorizationError, match="independent"):
        train_runs(tmp_path / "runs", "digits", 2, config, 8, 0, 0, EXCLUDE)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_diverged_is_left_out(copy, folder):
    path = copy / "run-2" / "f.ckpt"
    document = torch.load(path, weights_only=True)
    for value in document["state_dict"].values():
        if value.is_floating_point():
            value.fill_(float("nan"))
    torch.save(document, path)
    with pytest.warns(MemorizationWarning, match="run-2 is left out"):
        result = measured(copy)
    assert result.settings["runs"] == ["run-1", "run-3"]


def test_a_lost_encoder_is_trained_again(copy, folder, config):
    (copy / "run-2" / "g.ckpt").unlink()
    train_runs(copy, "digits", 3, config, *SIZES, EXCLUDE)
    found, expected = weights(Run(copy / "run-2")), weights(Run(folder / "run-2"))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_settings_tell_the_measurement(folder):
    settings = measured(folder).settings
    assert settings["n_views"] == 2


@pytest.mark.parametrize(
    "change", [{"backbone": "resnet9"}, {"epochs": 2}, {"method": "byol"}]
)
def test_runs_of_other_trainings_are_refused(folder, config, tmp_path, change):
    train_runs(tmp_path, "digits", 2, replace(config, **change), *SIZES, EXCLUDE)
    with pytest.raises(MemorizationError):
        measured([folder / "run-1", tmp_path / "run-2"])


def test_the_default_sizes_leave_excluded_images_out(drawn, tmp_path):
    (_, split, _), *_ = drawn(tmp_path, 2, exclude=range(100, 1797))
    sizes = len(split.candidate), len(split.independent), len(split.external)
    assert sizes == (45, 45, 10)


def test_a_run_under_two_names_is_one(folder):
    with pytest.raises(MemorizationError, match="at least two runs, got 1"):
        measured([folder / "run-1", folder / "run-2" / ".." / "run-1"])
