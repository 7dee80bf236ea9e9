"""An interrupted measurement resumes where it was, and only the same one."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from pytorch_lightning import Trainer
from torchvision import transforms

import lightly_memloc as memloc
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import state_file
from tests.evaluators.tiny import OnlyBlackIsNegative, Shades, Tiny


@pytest.fixture(autouse=True)
def _written_before_each_batch(monkeypatch):
    monkeypatch.setattr(state_file, "_REST", 0)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Tiny(), Tiny()


@pytest.fixture
def split():
    return memloc.MemorizationSplit.random(24, 9, 7, 8)


@pytest.fixture
def measure(pair, split, transform):
    """Measure by name, with options that differ from the usual ones."""

    def measured(name, dataset, *, f=pair[0], g=pair[1], roles=split, **changed):
        options = {"n_views": 2, "batch_size": 2, "skip_unreadable": True} | changed
        view = options.pop("transform", transform)
        if name == "layer_mem":
            return memloc.measure_layer_mem(f, g, dataset, roles, view, **options)
        options = {"indices": range(14)} | options
        if name == "class_mem":
            return memloc.measure_class_mem(f, dataset, view, **options)
        if name == "unit_mem of two":
            of_two = {"reference": g, "split": roles, "indices": None}
            return memloc.measure_unit_mem(f, dataset, view, **options | of_two)
        options = {"holdout": range(14, 24)} | options
        return memloc.measure_unit_mem(f, dataset, view, **options)

    return measured


def interrupt(measure, name, state, reads=9, **options):
    """Interrupt a measurement after some images; return those read."""
    dataset = Shades(broken=options.pop("broken", ()), reads=reads)
    with pytest.raises(KeyboardInterrupt):
        measure(name, dataset, state_file=state, **options)
    return dataset.read


def assert_identical(result, expected):
    assert result.settings == expected.settings
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(table, expected.tables[name], check_exact=True)


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_neither_batches_nor_an_interruption_change_a_pairs_units(
    measure, split, tmp_path, batch_size
):
    expected = measure("unit_mem of two", Shades())
    state = tmp_path / "state"
    if batch_size < 24:
        sized = {"batch_size": batch_size}
        interrupt(measure, "unit_mem of two", state, reads=7, **sized)
    result = measure(
        "unit_mem of two", Shades(), state_file=state, batch_size=batch_size
    )
    for name, table in expected.tables.items():
        pd.testing.assert_frame_equal(result.tables[name], table, rtol=1e-9)
    mix = {"members": 7, "independent": 7}
    assert (result.settings["reference"], result.settings["mix"]) == (True, mix)


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_interrupted_twice(measure, tmp_path, name):
    state = tmp_path / "state"
    broken = (2, 11)
    expected = measure(name, Shades(broken=broken))
    assert expected.settings["skipped"] == ["shade/02.png", "shade/11.png"]
    first = interrupt(measure, name, state, reads=7, broken=broken)
    second = interrupt(measure, name, state, reads=12, broken=broken)
    rest = Shades(broken=broken)
    result = measure(name, rest, state_file=state)
    assert_identical(result, expected)
    # The first image is read each time for its views, and those that were measured
    # are read once more, as they may have been replaced.
    n_images = 14 if name == "class_mem" else 24
    assert first == [0, *range(6)]
    assert second == [0, 0, 1, 3, *range(4, 12)]
    assert rest.read == [0, 0, 1, *range(3, 10), *range(10, n_images)]
    assert not state.exists()


def plain(image):
    return transforms.functional.to_tensor(image)


def cropped(image):
    return transforms.functional.to_tensor(image.crop((0, 0, 7, 7)))


# With a plain transform all views are alike, whatever the seed, an anchor among them.
@pytest.mark.parametrize(
    ("name", "usual", "changed", "differs"),
    [
        ("layer_mem", {}, {"f": Tiny()}, "weights"),
        ("layer_mem", {}, {"g": Tiny()}, "weights"),
        ("layer_mem", {}, {"g": None}, "images|weights"),
        ("layer_mem", {}, {"batch_size": 3}, "batch_size"),
        ("layer_mem", {}, {"seed": 1}, "seed"),
        ("layer_mem", {}, {"precision": "bf16-mixed"}, "precision"),
        ("layer_mem", {}, {"n_views": 3}, "views"),
        ("layer_mem", {"transform": plain}, {"transform": cropped}, "views"),
        ("layer_mem", {}, {"layers": ["mix", "head"]}, "settings"),
        ("layer_mem", {}, {"normalize": False}, "settings"),
        (
            "layer_mem",
            {"transform": plain, "n_views": 3},
            {
                "transform": plain,
                "n_views": 2,
                "pairs": "anchor",
                "anchor_transform": plain,
            },
            "settings",
        ),
        ("unit_mem", {}, {"f": Tiny()}, "weights"),
        ("unit_mem", {}, {"indices": range(1, 14)}, "settings|images"),
        ("unit_mem", {}, {"holdout": range(14, 23)}, "settings|images"),
        ("unit_mem", {"transform": plain}, {"seed": 1}, "settings"),
        ("unit_mem", {}, {"rest": "median"}, "settings"),
        ("unit_mem", {}, {"rectify": "abs"}, "settings"),
        ("class_mem", {}, {"rectify": "abs"}, "settings"),
        ("class_mem", {}, {"num_classes": 4}, "settings"),
        ("class_mem", {}, {"indices": range(13)}, "images"),
    ],
)
def test_another_measurement_is_refused(
    measure, tmp_path, name, usual, changed, differs
):
    state = tmp_path / "state"
    interrupt(measure, name, state, **usual)
    kept = state.read_bytes()
    with pytest.raises(MemorizationError, match=f"differs in ({differs})"):
        measure(name, Shades(), state_file=state, **usual | changed)
    assert state.read_bytes() == kept


def test_another_split_is_refused(measure, split, tmp_path):
    state = tmp_path / "state"
    interrupt(measure, "layer_mem", state)
    other = replace(split, external=split.external[:-1])
    with pytest.raises(MemorizationError, match="differs in images"):
        measure("layer_mem", Shades(), roles=other, state_file=state)


def test_another_metric_is_refused(measure, tmp_path):
    state = tmp_path / "state"
    interrupt(measure, "class_mem", state)
    with pytest.raises(MemorizationError, match="differs in settings"):
        measure("unit_mem", Shades(), holdout=None, state_file=state)


def test_a_layer_that_was_negative_before_the_interruption(measure, tmp_path):
    state, f = tmp_path / "state", OnlyBlackIsNegative()
    for name in ("unit_mem", "class_mem"):
        read = interrupt(measure, name, state, f=f)
        assert 0 in read[:2]
        rest = Shades()
        result = measure(name, rest, f=f, state_file=state)
        # Once for its views and once because it may have been replaced.
        assert rest.read.count(0) == 2
        assert result.tables["layers"]["rectified"].tolist() == [True]


def test_a_trainer_resumes(measure, pair, split, transform, tmp_path):
    state, broken = tmp_path / "state", (2, 11)
    interrupt(measure, "layer_mem", state, broken=broken)
    rest = Shades(broken=broken)
    f, g = pair
    evaluator = memloc.LayerMemEvaluator(
        f,
        Study(rest, transform, split, n_views=2),
        g,
        batch_size=2,
        skip_unreadable=True,
        state_file=state,
    )
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.validate(evaluator, verbose=False)
    assert_identical(evaluator.result, measure("layer_mem", Shades(broken=broken)))
    assert rest.read == [0, 0, 1, 3, *range(4, 24)]
    assert not state.exists()


class Replaced(Shades):
    """Shades of which some images were replaced under their names."""

    def __init__(self, replaced):
        super().__init__()
        self.pixels[list(replaced)] ^= 1


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ([0], "differs in images"),
        ([1], r"^shade/01\.png changed since the interruption"),
        ([1, 3, 20], r"^shade/01\.png and 1 more changed since the interruption"),
        (range(1, 24), r"^shade/01\.png and 4 more changed since the interruption"),
    ],
)
def test_images_replaced_before_resuming_are_refused(
    measure, tmp_path, name, replaced, message
):
    state = tmp_path / "state"
    assert max(interrupt(measure, name, state)) == 7
    kept = state.read_bytes()
    with pytest.raises(MemorizationError, match=message):
        measure(name, Replaced(replaced), state_file=state)
    assert state.read_bytes() == kept
    # What was not measured yet may be another image: it is measured as it is now.
    later = measure(name, Replaced([8]), state_file=state)
    assert_identical(later, measure(name, Replaced([8])))


def test_a_measured_image_that_is_broken_by_now_is_refused(measure, tmp_path):
    state = tmp_path / "state"
    interrupt(measure, "unit_mem", state)
    with pytest.raises(MemorizationError, match=r"shade/03\.png changed"):
        measure("unit_mem", Shades(broken=[3]), state_file=state)
