"""Options of how to measure, which leave the result as it is, are heeded."""

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import get_worker_info

import lightly_memloc as memloc
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import EVALUATORS
from tests.evaluators.tiny import Shades, Tiny

NAMES = ["layer_mem", "unit_mem", "class_mem"]


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Tiny(), Tiny()


@pytest.fixture
def split():
    return memloc.MemorizationSplit.random(12, 4, 4, 4)


@pytest.fixture
def measure(pair, split, transform):
    def measured(name, dataset, model=None, **options):
        options = {"n_views": 3} | options
        f, g = pair if model is None else (model, None)
        if name == "layer_mem":
            return memloc.measure_layer_mem(f, g, dataset, split, transform, **options)
        if name == "unit_mem":
            options |= {"reference": g, "split": split}
        else:
            options["indices"] = split.candidate
        function = getattr(memloc, f"measure_{name}")
        return function(f, dataset, transform, **options)

    return measured


@pytest.mark.parametrize("name", NAMES)
def test_batch_size(pair, measure, name):
    sizes = []
    pair[0].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    measure(name, Shades(12), batch_size=3)
    n_images = {"layer_mem": 12, "unit_mem": 8, "class_mem": 4}[name]
    # The first two views are traced.
    full, rest = divmod(n_images, 3)
    assert sizes == [2] + [9] * full + ([3 * rest] if rest else [])


class WhoReads(Shades):
    """Shades that a worker process has to read."""

    def __getitem__(self, index):
        assert get_worker_info().num_workers == 2
        return super().__getitem__(index)


@pytest.mark.parametrize("name", NAMES)
def test_num_workers(measure, name):
    result = measure(name, WhoReads(12), num_workers=2, batch_size=6)
    changed = {"num_workers": 2, "batch_size": 6}
    assert result.settings == measure(name, Shades(12)).settings | changed
    with pytest.raises(AttributeError):
        measure(name, WhoReads(12))


@pytest.mark.parametrize("name", NAMES)
def test_device(measure, name):
    with pytest.raises(MemorizationError, match="Cannot use device 'nowhere'"):
        measure(name, Shades(12), device="nowhere")


@pytest.mark.parametrize("name", NAMES)
def test_unreadable_images_are_refused_unless_they_may_be_skipped(measure, split, name):
    broken = [int(split.candidate[1])]
    with pytest.raises(MemorizationError, match=rf"^shade/{broken[0]:02d}\.png: "):
        measure(name, Shades(12, broken))
    result = measure(name, Shades(12, broken), skip_unreadable=True, batch_size=1)
    assert result.settings["skipped"] == [f"shade/{broken[0]:02d}.png"]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_has_the_same_options(measure, pair, split, transform, name):
    options = {
        "layers": ["mix", "head"],
        "n_views": 4,
        "seed": 3,
        "skip_unreadable": True,
    }
    broken = [int(split.candidate[-1])]
    n_views, seed = options.pop("n_views"), options.pop("seed")
    images = {"split": split}
    if name == "class_mem":
        images = {"indices": split.candidate}
    data = WhoReads(12, broken), transform
    study = Study(*data, **images, n_views=n_views, seed=seed)
    batches = {"num_workers": 2, "batch_size": 3}
    sizes = []
    pair[0].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    result = EVALUATORS[name](pair[0], study, pair[1], **options, **batches).run()
    assert max(sizes) == 3 * 4
    options |= {"n_views": n_views, "seed": seed}
    expected = measure(name, Shades(12, broken), **options)
    assert result.settings == expected.settings | batches
    for table in expected.tables:
        pd.testing.assert_frame_equal(result.tables[table], expected.tables[table])


@pytest.mark.parametrize("name", NAMES)
def test_a_study_has_a_state_file(pair, split, transform, tmp_path, name):
    state = tmp_path / "state"
    state.write_text("not a state")
    evaluator = EVALUATORS[name](
        pair[0], Study(Shades(12), transform, split), state_file=state
    )
    with pytest.raises(MemorizationError, match="is not the state of a measurement"):
        evaluator.run()


ASKED = {
    "layers": ["mix", "head"],
    "n_views": 4,
    "seed": 3,
    "batch_size": 5,
    "num_workers": 1,
    "precision": "bf16-mixed",
    "skip_unreadable": True,
}
OWN = {
    "layer_mem": {"normalize": False, "normalization": "raw", "n_resamples": 19},
    "unit_mem": {"rest": "median", "rectify": "abs"},
    "class_mem": {"rectify": "abs"},
}


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_tell_what_was_asked_for(measure, name):
    asked = ASKED | OWN[name]
    settings = measure(name, Shades(12), **asked, device="cpu").settings
    assert {option: settings[option] for option in asked} == asked
    assert settings["device"] == "cpu"


@pytest.mark.parametrize("name", NAMES)
def test_precision(measure, name):
    class Half(nn.Module):
        """Tells in which precision its convolution runs."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.types = set()

        def forward(self, x):
            y = self.conv(x)
            self.types.add(y.dtype)
            return y

    for precision, dtype in (
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
    ):
        encoder = Half()
        measure(name, Shades(12), model=encoder, precision=precision)
        assert encoder.types == {dtype}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("option", "value"),
    [("precision", "64"), ("batch_size", 0), ("num_workers", -1)],
)
def test_options_without_a_meaning(measure, name, option, value):
    with pytest.raises(MemorizationError, match=f"Expected {option}.*got.*{value}"):
        measure(name, Shades(12), **{option: value})
