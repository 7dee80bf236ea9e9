import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Subset

from lightly_memloc import MemorizationSplit, load_result, measure_layer_mem
from lightly_memloc.data import filename_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import LayerMemEvaluator
from lightly_memloc.interventions import (
    curate,
    retrain_without,
    write_filename_lists,
)
from lightly_memloc.probes import ProbeTask, knn_probe
from lightly_memloc.training import (
    Run,
    TrainingConfig,
    make_plain_transform,
    train_pair,
)
from lightly_memloc.training import (
    run as run_module,
)

pytestmark = pytest.mark.slow

CONFIG = TrainingConfig.for_data(
    "digits", backbone="resnet9-slim", epochs=2, batch_size=16
)


@pytest.fixture(scope="module")
def split():
    return MemorizationSplit.random(1797, 20, 12, 14, seed=3, exclude=range(60, 1797))


@pytest.fixture(scope="module")
def run(tmp_path_factory, split):
    return Run.train(tmp_path_factory.mktemp("run"), "digits", split, CONFIG)


@pytest.fixture(scope="module")
def task(run):
    return ProbeTask(
        run.dataset(),
        np.union1d(run.split.trained_f, run.split.trained_g),
        run.split.external,
        make_plain_transform(CONFIG),
    )


@pytest.fixture(scope="module")
def curation(run):
    return curate(layer_mem(run.encoder("f"), run), 4)


def layer_mem(f, run):
    return measure_layer_mem(
        f,
        run.encoder("g"),
        run.dataset(),
        run.split,
        run.transform(),
        n_views=3,
        seed=7,
    )


@pytest.fixture(scope="module")
def retrained(run, task, curation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("curate")
    return folder, retrain_without(
        run, curation, task, folder, probe="knn", n_views=3, seed=7
    )


def test_the_new_runs_lack_the_images_and_nothing_else(run, curation, retrained):
    folder, result = retrained
    left_out = {
        "memorized": set(curation.to_pandas()["index"]),
        "random": set(result.tables["random"]["index"]),
    }
    for name, images in left_out.items():
        new = Run(folder / f"without-{name}")
        assert len(images) == 4
        assert images < set(run.split.candidate)
        assert set(new.split.candidate) == set(run.split.candidate) - images
        for role in ("shared", "independent", "external"):
            assert np.array_equal(getattr(new.split, role), getattr(run.split, role))
        assert new.config == run.config


def test_f_and_g_are_what_training_the_pair_anew_gives(run, retrained, digits):
    """The copied g is that of a training without the images, to the bit."""
    new = Run(retrained[0] / "without-memorized")
    pair = train_pair(digits, new.split, CONFIG)
    for name, trained in zip("fg", pair, strict=True):
        weights = new.encoder(name).state_dict()
        for entry, value in trained.backbone.state_dict().items():
            assert torch.equal(weights[entry], value)
    assert new.losses()["g"].tolist() == run.losses()["g"].tolist()


def test_encoders_are_compared_on_what_is_left_in_all(run, curation, retrained):
    folder, result = retrained
    removed = curation.to_pandas()["index"].to_numpy()
    drawn = result.tables["random"]["index"].to_numpy()
    common = [i for i in run.split.candidate if i not in {*removed, *drawn}]
    m = {}
    for name, of in (
        ("original", run),
        ("memorized", Run(folder / "without-memorized")),
        ("random", Run(folder / "without-random")),
    ):
        samples = layer_mem(of.encoder("f"), run).samples_to_pandas()
        m[name] = samples.set_index("index")["layer3.residual"]
    # Half the log ratio of the distances.
    z = {name: np.log((1 + of) / (1 - of)) / 2 for name, of in m.items()}
    external = run.split.external

    def calibrated(name, images, other=None):
        scores = z[name] if other is None else z[name] - z[other]
        return np.tanh(scores[images].mean() - scores[external].mean())

    row = result.layers_to_pandas().set_index("layer").loc["layer3.residual"]
    assert row["original"] == pytest.approx(calibrated("original", common))
    assert row["without_memorized"] == pytest.approx(calibrated("memorized", common))
    assert row["without_random"] == pytest.approx(calibrated("random", common))
    difference = calibrated("memorized", common, other="random")
    assert row["difference"] == pytest.approx(difference)
    assert row["removed_before"] == pytest.approx(calibrated("original", removed))
    assert row["removed_after"] == pytest.approx(calibrated("memorized", removed))
    learned = np.setdiff1d(removed, drawn)
    effect = calibrated("random", learned, other="memorized")
    assert row["removed_effect"] == pytest.approx(effect)
    assert row["removed_effect_low"] < row["removed_effect"]
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert 0 < row["difference_p"] <= 1
    assert result.settings["images"] == {
        "removed": 4,
        "compared": len(common),
        "external": 14,
    }


def test_accuracies_are_those_of_the_probe(run, task, retrained, tmp_path):
    folder, result = retrained
    table = result.accuracy_to_pandas().set_index("encoder")
    encoders = {
        "original": run,
        "without memorized": Run(folder / "without-memorized"),
        "without random": Run(folder / "without-random"),
    }
    assert table.index.tolist() == list(encoders)
    for name, of in encoders.items():
        expected = knn_probe(of.encoder("f"), task)
        assert tuple(table.loc[name]) == pytest.approx(tuple(expected))
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    pd.testing.assert_frame_equal(loaded.layers_to_pandas(), result.layers_to_pandas())
    assert loaded.is_retrained
    assert loaded.scalars()["accuracy/original"] == table["accuracy"]["original"]


def test_what_is_trained_stays(run, task, curation, retrained):
    folder, result = retrained
    path = folder / "without-memorized" / "f.ckpt"
    written = path.stat().st_mtime_ns
    again = retrain_without(run, curation, task, folder, probe="knn", n_views=3, seed=7)
    assert path.stat().st_mtime_ns == written
    pd.testing.assert_frame_equal(again.layers_to_pandas(), result.layers_to_pandas())


def test_other_images_in_the_same_folder_are_refused(run, task, curation, retrained):
    other = curate(layer_mem(run.encoder("g"), run), 3)
    with pytest.raises(MemorizationError, match="the split differs"):
        retrain_without(run, other, task, retrained[0], probe="knn", n_views=3, seed=7)


@pytest.mark.parametrize(
    ("index", "message"),
    [("external", "are not candidates of"), ("shared", "are not candidates of")],
)
def test_images_that_f_alone_was_not_trained_on_are_refused(
    run, task, curation, tmp_path, index, message
):
    samples = curation.to_pandas().assign(index=getattr(run.split, index)[:4])
    wrong = replace(curation, tables={"samples": samples})
    with pytest.raises(MemorizationError, match=message):
        retrain_without(run, wrong, task, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_too_few_images_left_are_refused(run, task, tmp_path):
    everything = curate(layer_mem(run.encoder("f"), run), 20)
    with pytest.raises(MemorizationError, match=r"external images, got 20, 0 and 14"):
        retrain_without(run, everything, task, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_empty_list_is_refused_before_training(run, task, tmp_path):
    nothing = curate(layer_mem(run.encoder("f"), run), fdr=0.01)
    assert len(nothing.to_pandas()) == 0
    with pytest.raises(MemorizationError, match="No image is listed, so there is noth"):
        retrain_without(run, nothing, task, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_single_image_to_leave_out_is_refused_before_training(run, task, tmp_path):
    one = curate(layer_mem(run.encoder("f"), run), 1)
    with pytest.raises(
        MemorizationError, match=r"at least two images to leave out.* got 1, 19"
    ):
        retrain_without(run, one, task, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_of_another_control_is_refused_before_training(
    run, task, retrained, tmp_path
):
    folder = tmp_path / "new"
    shutil.copytree(retrained[0] / "without-random", folder / "without-random")
    other = curate(layer_mem(run.encoder("f"), run), 5)
    with pytest.raises(MemorizationError, match="the split differs"):
        retrain_without(run, other, task, folder, probe="knn", n_views=3, seed=7)
    assert not (folder / "without-memorized").exists()


def test_an_unknown_probe_is_refused_before_training(run, task, curation, tmp_path):
    with pytest.raises(MemorizationError, match="Unknown probe 'best'"):
        retrain_without(run, curation, task, tmp_path / "new", probe="best")
    assert not (tmp_path / "new").exists()


SPLIT = MemorizationSplit.random(1797, 16, 6, 8, seed=4, exclude=range(40, 1797))


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
        (run_module, "_describe", dies),
        (run_module, "_write_losses", dies),
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
