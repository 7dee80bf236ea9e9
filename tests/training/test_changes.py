"""A result belongs to the weights, images and roles that it was measured with."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lightly_memloc import MemorizationSplit, measure_layer_mem
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import LayerMemResult
from lightly_memloc.runtime import weights_fingerprint
from lightly_memloc.training import (
    Run,
    TrainingConfig,
    changes_since,
    fingerprints_of,
    refuse_changed,
)

SMALL = TrainingConfig(backbone="resnet9-slim", epochs=1, batch_size=8, input_size=16)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run and its result, beside the images."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(20):
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:02d}.png")
    split = MemorizationSplit.random(20, 4, 4, 4)
    run = Run.train(folder / "run", str(folder / "images"), split, SMALL)
    result = measure_layer_mem(
        run.encoder("f"),
        run.encoder("g"),
        run.dataset(),
        run.split,
        run.transform(),
        layers="pool",
        n_views=2,
    )
    result.save(folder / "run" / "layer-mem")
    return folder, result


@pytest.fixture
def study(whole, tmp_path):
    """A copy to change; its configuration names the copied images."""
    folder, result = whole
    shutil.copytree(folder, tmp_path / "study")
    config = tmp_path / "study" / "run" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(str(folder), str(tmp_path / "study")))
    return tmp_path / "study", result


def change_weights(folder, name):
    path = folder / "run" / f"{name}.ckpt"
    document = torch.load(path, weights_only=True)
    first = next(iter(document["state_dict"].values()))
    first[(0,) * first.dim()] += 1
    torch.save(document, path)


def change_image(folder, index):
    path = folder / "images" / f"{index:02d}.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)


def change_split(folder):
    split = MemorizationSplit.load(folder / "run" / "split.json")
    first = split.shared[:1]
    moved = replace(
        split,
        shared=split.shared[1:],
        external=np.sort(np.append(split.external, first)),
    )
    moved.save(folder / "run" / "split.json")


def test_nothing_changed(study):
    folder, result = study
    assert changes_since(result, Run(folder / "run")) == []
    refuse_changed(result, Run(folder / "run"), "layer-mem RUN")


@pytest.mark.parametrize("name", ["f", "g"])
def test_other_weights(study, name):
    folder, result = study
    change_weights(folder, name)
    assert changes_since(result, Run(folder / "run")) == [f"the weights of {name}"]


@pytest.mark.parametrize("role", ["candidate", "independent", "external"])
def test_an_image_that_was_replaced_under_its_name(study, role):
    folder, result = study
    change_image(folder, int(getattr(Run(folder / "run").split, role)[0]))
    assert changes_since(result, Run(folder / "run")) == ["the images"]


def test_an_image_that_was_not_measured_may_change(study):
    folder, result = study
    change_image(folder, int(Run(folder / "run").split.shared[0]))
    assert changes_since(result, Run(folder / "run")) == []


def test_another_split(study):
    folder, result = study
    change_split(folder)
    assert changes_since(result, Run(folder / "run")) == ["the split"]


def test_a_result_with_roles_of_its_own_is_not_compared_with_those_of_the_run(study):
    folder, result = study
    change_split(folder)
    settings = {**result.settings, "source": {"split": "mine.json"}}
    own = replace(result, settings=settings)
    assert changes_since(own, Run(folder / "run")) == []


def test_all_of_them(study):
    folder, result = study
    change_weights(folder, "f")
    change_image(folder, int(Run(folder / "run").split.candidate[0]))
    change_split(folder)
    run = Run(folder / "run")
    assert changes_since(result, run) == [
        "the weights of f",
        "the images",
        "the split",
    ]
    with pytest.raises(MemorizationError) as refused:
        refuse_changed(result, run, "layer-mem mine")
    assert str(refused.value).endswith(
        "the weights of f, the images, the split changed since it was measured. Measure "
        "again: lightly-memloc layer-mem mine"
    )


def test_what_was_moved_away_cannot_be_compared(study):
    folder, result = study
    (folder / "images").rename(folder / "elsewhere")
    (folder / "run" / "g.ckpt").unlink()
    assert changes_since(result, Run(folder / "run")) == []


def test_an_encoder_that_is_being_trained_again_is_another(study):
    folder, result = study
    (folder / "run" / "g.ckpt").rename(folder / "run" / "g.state.ckpt")
    (folder / "run" / "losses.csv").unlink()
    assert "the weights of g" in changes_since(result, Run(folder / "run"))


def test_a_result_of_an_older_version_cannot_be_compared(study):
    folder, result = study
    change_weights(folder, "f")
    settings = {k: v for k, v in result.settings.items() if k != "fingerprints"}
    older = LayerMemResult(settings, result.tables, "0.1.0")
    assert changes_since(older, Run(folder / "run")) == []


def test_groups_that_the_images_list_are_part_of_the_split(study):
    folder, _ = study
    listed = folder / "images.csv"
    rows = [f"images/{number:02d}.png,{number}" for number in range(20)]
    listed.write_text("\n".join(["filename,group", *rows]) + "\n", encoding="utf-8")
    config = folder / "run" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(str(folder / "images"), str(listed)))
    split = MemorizationSplit.load(folder / "run" / "split.json")
    replace(split, fingerprint=None).save(folder / "run" / "split.json")
    run = Run(folder / "run")
    assert run.split.groups is None
    f, g = run.encoder("f"), run.encoder("g")
    result = measure_layer_mem(
        f, g, run.dataset(), run.split, run.transform(), layers="pool", n_views=2
    )
    assert changes_since(result, run) == []


def test_fingerprints_of_a_run_are_those_of_a_measurement(study):
    folder, result = study
    run = Run(folder / "run")
    f, g = run.encoder("f"), run.encoder("g")
    found = fingerprints_of(f, g, run.study())
    measured = result.settings["fingerprints"]
    assert (
        found["weights"]
        == measured["weights"]
        == {
            "f": weights_fingerprint(f),
            "g": weights_fingerprint(g),
        }
    )
    assert found["split"] == measured["split"]
    assert measured["images"].items() <= found["images"].items()
    assert len(found["images"]) == 20
    assert set(fingerprints_of(f, None, run.study())["weights"]) == {"f"}
