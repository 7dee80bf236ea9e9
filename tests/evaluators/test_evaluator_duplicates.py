"""Copies of an image in different roles are refused or reported by a measurement."""

import warnings

import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

import lightly_memloc as memloc
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.runtime import state_file
from tests.evaluators.tiny import Shades, Tiny

SPLIT = memloc.MemorizationSplit(
    24,
    shared=range(18, 24),
    candidate=range(6),
    independent=range(6, 12),
    external=range(12, 18),
)
LISTED = [
    {
        "filenames": ["shade/03.png", "shade/14.png"],
        "roles": ["candidate", "external"],
        "identical": True,
    }
]


def shades(copies, n=24, **options):
    """Shades of which some are copies of others."""
    dataset = Shades(n, **options)
    for copy, of in copies.items():
        dataset.pixels[copy] = dataset.pixels[of]
    return dataset


@pytest.fixture
def measure(transform):
    torch.manual_seed(0)
    f, g = Tiny(), Tiny()

    def measured(name, dataset, **options):
        options = {"n_views": 2, "batch_size": 4} | options
        if name == "layer_mem":
            return memloc.measure_layer_mem(f, g, dataset, SPLIT, transform, **options)
        if name == "class_mem":
            return memloc.measure_class_mem(f, dataset, transform, range(12), **options)
        return memloc.measure_unit_mem(
            f, dataset, transform, range(12), range(12, 24), **options
        )

    return measured


@pytest.mark.parametrize(
    ("name", "roles"),
    [("layer_mem", ("candidate", "external")), ("unit_mem", ("member", "holdout"))],
)
def test_identical_images_of_different_roles(measure, name, roles):
    message = r"shade/03.png \({}\) and shade/14.png \({}\)".format(*roles)
    with pytest.raises(MemorizationError, match=f"Identical images .*{message}"):
        measure(name, shades({14: 3}))
    with pytest.warns(MemorizationWarning, match=f"Identical images .*{message}"):
        result = measure(name, shades({14: 3}), allow_duplicates=True)
    assert result.settings["allow_duplicates"]
    assert [pair["roles"] for pair in result.settings["duplicates"]] == [list(roles)]


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_copies_within_a_role_are_measured(measure, name):
    result = measure(name, shades({4: 3}))
    assert result.settings["duplicates"] == []
    assert not result.settings["allow_duplicates"]


def test_copies_within_a_role_are_a_group(measure):
    images = measure("layer_mem", shades({4: 1, 16: 13, 17: 13})).samples_to_pandas()
    group = images.set_index("index")["group"].to_dict()
    assert group == {i: i for i in range(18)} | {4: 1, 16: 13, 17: 13}
    assert "group" not in measure("layer_mem", shades({})).samples_to_pandas()


def test_a_measurement_of_one_role_compares_nothing(measure):
    assert measure("class_mem", shades({14: 3})).settings["duplicates"] == []


def test_images_that_are_not_measured_are_not_read(measure):
    dataset = shades({20: 3})
    measure("layer_mem", dataset)
    # The views of the first image are compared with those of an interrupted measurement
    # only if there is a state file.
    assert sorted(dataset.read) == list(range(18))


def test_a_copy_ends_the_measurement_as_soon_as_it_is_read(measure):
    dataset = shades({6: 3})
    with pytest.raises(MemorizationError, match="Identical images"):
        measure("layer_mem", dataset)
    assert len(dataset.read) < 18


def test_near_duplicates_are_reported(measure):
    dataset = Shades()
    ramp = torch.arange(24)[:, None] * 3 + torch.arange(24) ** 2 // 4
    image = Image.fromarray(ramp.to(torch.uint8).numpy()).convert("RGB")
    near = image.resize((48, 48), Image.Resampling.BICUBIC)

    class Two(Shades):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            return {3: image, 14: near}.get(index, item[0]), *item[1:]

    dataset = Two()
    with pytest.warns(MemorizationWarning, match=r"Near-dup.* shade/03.* shade/14"):
        result = measure("layer_mem", dataset)
    assert result.settings["duplicates"] == [LISTED[0] | {"identical": False}]


def test_workers_find_the_same(measure):
    with pytest.warns(MemorizationWarning, match="Identical"):
        result = measure(
            "layer_mem", shades({14: 3}), num_workers=2, allow_duplicates=True
        )
    assert result.settings["duplicates"] == LISTED


def test_a_trainer_finds_the_same(transform):
    torch.manual_seed(0)
    study = Study(shades({14: 3}), transform, SPLIT, n_views=2)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    evaluator = memloc.LayerMemEvaluator(Tiny(), study, Tiny(), allow_duplicates=True)
    with pytest.warns(MemorizationWarning, match="Identical"):
        trainer.validate(evaluator, verbose=False)
    assert evaluator.result.settings["duplicates"] == LISTED


def test_a_resumed_measurement_remembers_the_images_it_read(
    measure, tmp_path, monkeypatch
):
    monkeypatch.setattr(state_file, "_REST", 0)
    options = {"state_file": tmp_path / "state", "batch_size": 2}
    dataset = shades({14: 3}, reads=12)
    with pytest.raises(KeyboardInterrupt):
        measure("layer_mem", dataset, **options, allow_duplicates=True)
    assert 14 not in dataset.read
    rest = shades({14: 3})
    with pytest.warns(MemorizationWarning, match="Identical"):
        result = measure("layer_mem", rest, **options, allow_duplicates=True)
    # Only compared with the image that was measured.
    assert rest.read.count(3) == 1
    assert result.settings["duplicates"] == LISTED


def test_a_second_run_of_an_evaluator_starts_anew(transform):
    torch.manual_seed(0)
    dataset = shades({14: 3})
    study = Study(dataset, transform, SPLIT, n_views=2)
    evaluator = memloc.LayerMemEvaluator(Tiny(), study, Tiny())
    with pytest.raises(MemorizationError, match="Identical"):
        evaluator.run()
    dataset.pixels[14] = Shades().pixels[14]
    with warnings.catch_warnings():
        warnings.simplefilter("error", MemorizationWarning)
        assert evaluator.run().settings["duplicates"] == []
