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
from lightly_memloc.data import MemorizationSplit, open_dataset
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators import (
    Evaluator,
    LayerMemEvaluator,
    measure_layer_mem,
)
from lightly_memloc.results import load_result
from lightly_memloc.training import (
    Run,
    measure_ssl_mem_runs,
    train_runs,
)
from lightly_memloc.training.measure_runs import view_seed
from tests.training.small_runs import (
    ROLES,
    corrupt,
    cut,
    empty_config,
    interrupt,
    lose,
    lose_g,
    lose_split,
    times,
)

LAYERS = ["layer1*residual", "pool"]


QUICK = {"layers": LAYERS, "n_views": 2}


def measured(runs, **options):
    return measure_ssl_mem_runs(runs, **QUICK | options)


def assert_same_numbers(first, second):
    pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas())
    pd.testing.assert_frame_equal(first.samples_to_pandas(), second.samples_to_pandas())


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
            layers=LAYERS,
            n_views=2,
            seed=view_seed(run, 3),
            n_resamples=19,
        )
        for row in found.to_pandas().to_dict("records"):
            means.setdefault(row["layer"], []).append(row["symmetric"])
            images = found.samples_to_pandas()
            images["z"] = np.arctanh(images[row["layer"]])
            means_z = images.groupby("role")["z"].mean()
            offset = (means_z["candidate"] + means_z["independent"]) / 2
            for image in images.to_dict("records"):
                sign = {"candidate": 1, "independent": -1}.get(image["role"])
                if sign:
                    place = image["filename"], row["layer"]
                    score = np.tanh(sign * (image["z"] - offset))
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


BREAKS = {
    lose: r"config\.yaml contains no training settings",
    lose_g: r"(There is not a checkpoint .*g\.ckpt|interrupted before g was done)",
    interrupt: "interrupted before g was done",
    corrupt: r"f\.ckpt is not a checkpoint",
    cut: r"g\.ckpt is not a checkpoint",
    lose_split: r"lacks its split\.json",
    empty_config: "contains no training settings",
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


def test_several_runs_that_are_left_out_are_each_named(copy, config):
    train_runs(copy, "digits", 5, config, **ROLES)
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


def test_runs_whose_names_differ_in_signs_alone_keep_states_of_their_own(
    folder, tmp_path
):
    names = ["a b", "a_b", "a+b"]
    runs = [folder / "run-1", folder / "run-2", folder / "run-3"]
    for name, run in zip(names, runs, strict=True):
        shutil.copytree(run, tmp_path / name)
    measured([tmp_path / name for name in names], state_folder=tmp_path / "state")
    states = [path.name for path in (tmp_path / "state").iterdir()]
    assert len(states) == 3
    again = measured(
        [tmp_path / name for name in names], state_folder=tmp_path / "state"
    )
    assert again.settings["runs"] == [str(tmp_path / name) for name in names]


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))


def test_runs_of_different_encoders_are_refused(folder, config, tmp_path):
    other = replace(config, backbone=f"{__name__}:small")
    train_runs(tmp_path, "digits", 2, other, **ROLES)
    with pytest.raises(
        MemorizationError, match=r"measured other layers|different trainings"
    ):
        measured([folder / "run-1", tmp_path / "run-2"], layers="auto")


@pytest.fixture
def measurements(monkeypatch):
    """The state files of the measurements that were begun."""
    begun = []

    run = LayerMemEvaluator.run

    def counted(evaluator):
        begun.append(evaluator.options.state_file)
        return run(evaluator)

    monkeypatch.setattr(LayerMemEvaluator, "run", counted)
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
    train_runs(copy, "digits", 4, config, **ROLES)
    more = measured(copy, state_folder=state)
    assert [file.parent.name for file in measurements] == ["run-4"]
    assert_same_numbers(more, measured(copy))


def test_an_interrupted_measurement_goes_on_in_its_run(
    folder, tmp_path, measurements, monkeypatch
):
    state, options = tmp_path / "state", {"batch_size": 4}
    expected = measured(folder, **options)
    measurements.clear()
    take, steps = Evaluator._take, []

    def interrupted(self, batch, number):
        steps.append(number)
        # The run has 20 images, so this is in the second run.
        if len(steps) == 9:
            raise KeyboardInterrupt
        take(self, batch, number)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "_take", interrupted)
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
    with pytest.raises(
        MemorizationError, match="contains another measurement"
    ) as error:
        measured(folder, **other, state_folder=tmp_path)
    assert str(tmp_path / "run-1") in str(error.value)
    assert times(tmp_path) == before


def test_the_seed_changes_views_and_shuffled_roles(folder):
    first, again, other = measured(folder), measured(folder), measured(folder, seed=1)
    assert_same_numbers(first, again)
    for column in ("ssl_mem", "shuffled", "offset"):
        assert (first.to_pandas()[column] != other.to_pandas()[column]).all()
    assert other.settings["seed"] == 1


def test_runs_do_not_share_their_views(folder):
    seeds = measured(folder).settings["view_seeds"]
    runs = {f"run-{number}": Run(folder / f"run-{number}") for number in (1, 2, 3)}
    assert seeds == {name: view_seed(run, 0) for name, run in runs.items()}
    assert len(set(seeds.values())) == 3
    # They are a run's own, whichever runs are measured beside it.
    assert list(
        measured([folder / "run-3", folder / "run-1"]).settings["view_seeds"].values()
    ) == [seeds["run-3"], seeds["run-1"]]
    other = measured(folder, seed=1).settings["view_seeds"]
    assert not set(other.values()) & set(seeds.values())


def test_a_pair_measured_in_its_run_folder_stays_as_it_is(copy):
    run = Run(copy / "run-1")
    study = run.study(n_views=2, seed=0)
    pair = LayerMemEvaluator(
        run.encoder("f"), study, run.encoder("g"), layers=LAYERS
    ).run()
    pair.save(copy / "run-1" / "layer-mem")
    before = times(copy / "run-1")
    measured(copy, state_folder=copy / "ssl-mem" / "state")
    assert times(copy / "run-1") == before
    loaded = load_result(copy / "run-1" / "layer-mem")
    assert loaded.settings["seed"] == 0


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


@pytest.mark.parametrize("layers", ["pool", "conv"])
def test_state_of_other_layers_is_refused(folder, tmp_path, layers):
    measured(folder, state_folder=tmp_path)
    with pytest.raises(MemorizationError, match="another measurement"):
        measured(folder, layers=layers, state_folder=tmp_path)


def test_state_of_another_training_is_refused(copy, config, tmp_path):
    measured(copy, state_folder=tmp_path)
    for number in (1, 2, 3):
        shutil.rmtree(copy / f"run-{number}")
    train_runs(copy, "digits", 3, replace(config, epochs=2), **ROLES)
    with pytest.raises(MemorizationError, match="another measurement"):
        measured(copy, state_folder=tmp_path)


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


def test_settings_tell_the_measurement(folder):
    settings = measured(folder).settings
    assert settings["n_views"] == 2


@pytest.mark.parametrize(
    "change", [{"backbone": "resnet9"}, {"epochs": 2}, {"method": "byol"}]
)
def test_runs_of_other_trainings_are_refused(folder, config, tmp_path, change):
    train_runs(tmp_path, "digits", 2, replace(config, **change), **ROLES)
    with pytest.raises(MemorizationError):
        measured([folder / "run-1", tmp_path / "run-2"])


def test_a_run_under_two_names_is_one(folder):
    with pytest.raises(MemorizationError, match="at least two runs, got 1"):
        measured([folder / "run-1", folder / "run-2" / ".." / "run-1"])
