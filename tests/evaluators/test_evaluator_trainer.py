import shutil
from functools import partial

import pandas as pd
import pytest
import torch
from pytorch_lightning import Trainer
from torchvision import transforms

import lightly_memloc as memloc
from lightly_memloc import load_result
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import EVALUATORS
from lightly_memloc.training import ResNet9
from tests.evaluators import trainer_of_two
from tests.evaluators.ranks import call_in_two_processes
from tests.evaluators.tiny import Shades, Tiny
from tests.runtime.test_trace_free import assert_unchanged, snapshot

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@pytest.fixture(params=["unit_mem", "layer_mem", "class_mem"])
def measurement(request, encoders, digits, small_split, transform):
    """The encoder, what makes its evaluator, and what measures the same in one call."""
    f, g = encoders
    candidate = small_split.candidate
    of_pair = {"reference": g, "split": small_split}
    measure = {
        "unit_mem": partial(memloc.measure_unit_mem, f, digits, transform, **of_pair),
        "layer_mem": partial(
            memloc.measure_layer_mem, f, g, digits, small_split, transform
        ),
        "class_mem": partial(memloc.measure_class_mem, f, digits, transform, candidate),
    }[request.param]
    # ClassMem is measured on images, whatever the split that they are from.
    images = {"split": small_split}
    if request.param == "class_mem":
        images = {"indices": candidate}
    study = Study(digits, transform, **images, n_views=2)
    make = partial(EVALUATORS[request.param], f, study, g)
    return f, make, partial(measure, n_views=2)


def assert_same(result, expected):
    assert result.settings == expected.settings
    assert result.tables.keys() == expected.tables.keys()
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(
            table, expected.tables[name], rtol=1e-6, atol=1e-6
        )


def test_a_trainer_measures_what_the_function_does(measurement):
    _, make, measure = measurement
    evaluator = make(batch_size=5)
    trainer = Trainer(**QUIET)
    [logged] = trainer.validate(evaluator, verbose=False)
    result = evaluator.result
    assert_same(result, measure(batch_size=5))
    assert logged == pytest.approx(result.scalars(), rel=1e-6)


def test_a_second_validation_measures_anew(measurement):
    encoder, make, measure = measurement
    evaluator = make()
    Trainer(**QUIET).validate(evaluator, verbose=False)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter))
    Trainer(**QUIET).validate(evaluator, verbose=False)
    assert_same(evaluator.result, measure())


def test_a_trainer_leaves_no_trace(measurement):
    model, make, _ = measurement
    model.train().layer1.eval()
    before = snapshot(model)
    Trainer(**QUIET).validate(make(), verbose=False)
    assert_unchanged(before, snapshot(model))


def test_a_trainer_that_fails_leaves_no_trace(measurement, monkeypatch):
    model, make, _ = measurement

    def fail(self, x):
        torch.rand(1)
        raise RuntimeError("no forward")

    monkeypatch.setattr(type(model), "forward", fail)
    before = snapshot(model.eval())
    with pytest.raises(MemorizationError, match="RuntimeError: no forward"):
        Trainer(**QUIET).validate(make())
    assert_unchanged(before, snapshot(model))


def test_mixed_precision(encoders, digits, transform):
    images = {"indices": range(20), "holdout": range(20, 40), "n_views": 2}
    study = Study(digits, transform, **images)
    evaluator = memloc.UnitMemEvaluator(encoders[0], study)
    Trainer(**QUIET, precision="bf16-mixed").validate(evaluator, verbose=False)
    assert evaluator.result.settings["precision"] == "bf16-mixed"
    exact = memloc.measure_unit_mem(encoders[0], digits, transform, **images)
    values = evaluator.result.to_pandas()["unit_mem"]
    difference = (values - exact.to_pandas()["unit_mem"]).abs()
    assert 0 < difference.max() < 0.05


def test_the_result_before_measuring(measurement):
    _, make, _ = measurement
    words = r"call evaluator\.run\(\) or Trainer\.validate"
    with pytest.raises(MemorizationError, match=words):
        _ = make().result


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes measured: the folder, and the task."""
    folder = tmp_path_factory.mktemp("two")
    torch.manual_seed(0)
    encoders = ResNet9(width=4), ResNet9(width=4)
    split = memloc.MemorizationSplit.random(1797, 9, 7, 8)
    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(16, scale=(0.5, 1), antialias=True),
            transforms.ToTensor(),
        ]
    )
    torch.save((encoders, split, view), folder / "task.pt")
    call_in_two_processes(trainer_of_two.main, folder)
    return folder, encoders, split


def test_two_processes_of_a_trainer(two_processes, digits, transform):
    folder, encoders, split = two_processes
    assert len(split.candidate) % 2 == 1
    unit_mem = memloc.measure_unit_mem(
        encoders[0], digits, transform, split=split, n_views=2, batch_size=4
    )
    layer_mem = memloc.measure_layer_mem(
        *encoders, digits, split, transform, n_views=2, batch_size=4
    )
    for rank in range(2):
        for name, expected in (("unit", unit_mem), ("layer", layer_mem)):
            assert_same(load_result(folder / f"{name}-{rank}"), expected)


def test_two_processes_resume_and_leave_images_out(two_processes, transform, tmp_path):
    folder, *_ = two_processes
    model = trainer_of_two.model_of_both(0)
    expected = trainer_of_two.measure_shades(model, transform)
    names = [f"shade/{index:02d}.png" for index in trainer_of_two.BROKEN]
    assert expected.settings["skipped"] == names
    for rank in range(2):
        assert_same(load_result(folder / f"resumed-{rank}"), expected)
        assert f"state.rank{rank}" in torch.load(folder / f"written-{rank}.pt")
        # Its share of the images is half of them.
        state = tmp_path / f"state-{rank}"
        shutil.copy(folder / f"kept-{rank}", state)
        with pytest.raises(MemorizationError, match="differs in processes"):
            trainer_of_two.measure_shades(model, transform, state)
    assert not list(folder.glob("state*"))


def test_a_layer_that_is_negative_in_one_process_is_rectified(two_processes):
    folder, *_ = two_processes
    for rank in range(2):
        layers = load_result(folder / f"negative-{rank}").layers_to_pandas()
        assert layers["rectified"].tolist() == [True]


def test_as_many_images_as_processes_are_enough(two_processes, transform):
    folder, *_ = two_processes
    torch.manual_seed(0)
    expected = memloc.measure_class_mem(
        Tiny(), Shades(6), transform, indices=[1, 2], n_views=2
    )
    for rank in range(2):
        assert_same(load_result(folder / f"few-{rank}"), expected)
        message = (folder / f"too-few-{rank}").read_text()
        assert message.startswith("Cannot measure 1 images with 2 processes")


def test_processes_fail_together(two_processes):
    folder, *_ = two_processes
    words = [(folder / f"failed-{rank}").read_text() for rank in range(2)]
    assert words[0].startswith("Another process failed: shade/01.png: cannot be read")
    assert words[1].startswith("shade/01.png: cannot be read")
