import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from pytorch_lightning import Trainer

import lightly_memloc as memloc
from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from tests.evaluators.test_trace_free import assert_unchanged, snapshot

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@pytest.fixture(params=["unit_mem", "layer_mem", "class_mem"])
def measurement(request, encoders, digits, small_split, transform):
    """An evaluator's class, the function that measures the same, and arguments."""
    f, g = encoders
    candidate, external = small_split.candidate, small_split.external
    measurements = {
        "unit_mem": (
            memloc.UnitMemEvaluator,
            memloc.measure_unit_mem,
            (f, digits, transform, candidate, external),
        ),
        "layer_mem": (
            memloc.LayerMemEvaluator,
            memloc.measure_layer_mem,
            (f, g, digits, small_split, transform),
        ),
        "class_mem": (
            memloc.ClassMemEvaluator,
            memloc.measure_class_mem,
            (f, digits, transform, candidate),
        ),
    }
    return measurements[request.param]


def assert_same(result, expected):
    assert result.settings == expected.settings
    assert result.tables.keys() == expected.tables.keys()
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(
            table, expected.tables[name], rtol=1e-6, atol=1e-6
        )


def test_a_trainer_measures_what_the_function_does(measurement):
    evaluator_class, function, arguments = measurement
    evaluator = evaluator_class(*arguments, n_views=2, batch_size=5)
    trainer = Trainer(**QUIET)
    [logged] = trainer.validate(evaluator, verbose=False)
    result = evaluator.result
    assert_same(result, function(*arguments, n_views=2, batch_size=5))
    assert logged == pytest.approx(result.scalars(), rel=1e-6)


def test_a_second_validation_measures_anew(measurement):
    evaluator_class, function, arguments = measurement
    evaluator = evaluator_class(*arguments, n_views=2)
    Trainer(**QUIET).validate(evaluator, verbose=False)
    with torch.no_grad():
        for parameter in arguments[0].parameters():
            parameter.add_(torch.randn_like(parameter))
    Trainer(**QUIET).validate(evaluator, verbose=False)
    assert_same(evaluator.result, function(*arguments, n_views=2))


def test_a_trainer_leaves_no_trace(measurement):
    evaluator_class, _, arguments = measurement
    model = arguments[0].train()
    model.layer1.eval()
    before = snapshot(model)
    Trainer(**QUIET).validate(evaluator_class(*arguments, n_views=2), verbose=False)
    assert_unchanged(before, snapshot(model))


def test_a_trainer_that_fails_leaves_no_trace(measurement, monkeypatch):
    evaluator_class, _, arguments = measurement
    model = arguments[0]

    def fail(self, x):
        torch.rand(1)
        raise RuntimeError("no forward")

    monkeypatch.setattr(type(model), "forward", fail)
    before = snapshot(model.eval())
    with pytest.raises(RuntimeError, match="no forward"):
        Trainer(**QUIET).validate(evaluator_class(*arguments, n_views=2))
    assert_unchanged(before, snapshot(model))


def test_mixed_precision(encoders, digits, transform):
    arguments = (encoders[0], digits, transform, range(20), range(20, 40))
    evaluator = memloc.UnitMemEvaluator(*arguments, n_views=2)
    Trainer(**QUIET, precision="bf16-mixed").validate(evaluator, verbose=False)
    exact = memloc.measure_unit_mem(*arguments, n_views=2)
    values = evaluator.result.to_pandas()["unit_mem"]
    difference = (values - exact.to_pandas()["unit_mem"]).abs()
    assert 0 < difference.max() < 0.05


def test_the_result_before_measuring(measurement):
    evaluator_class, _, arguments = measurement
    with pytest.raises(MemorizationError, match=r"run Trainer.validate"):
        _ = evaluator_class(*arguments).result


def test_two_processes_of_a_trainer(tmp_path, encoders, digits, small_split, transform):
    assert len(small_split.candidate) % 2 == 1
    torch.save((encoders, small_split, transform), tmp_path / "task.pt")
    subprocess.run(
        [sys.executable, "-m", "tests.evaluators.trainer_of_two", tmp_path],
        check=True,
        cwd=Path(__file__).parents[2],
    )
    unit_mem = memloc.measure_unit_mem(
        encoders[0],
        digits,
        transform,
        small_split.candidate,
        small_split.external,
        n_views=2,
    )
    layer_mem = memloc.measure_layer_mem(
        *encoders, digits, small_split, transform, n_views=2
    )
    for rank in range(2):
        for name, expected in (("unit", unit_mem), ("layer", layer_mem)):
            assert_same(load_result(tmp_path / f"{name}-{rank}"), expected)
