import os
import random
import signal
from dataclasses import replace

import pandas as pd
import pytest
import torch
from PIL import UnidentifiedImageError
from torch.utils.data import Dataset

import lightly_memloc as memloc
from lightly_memloc.data import Digits, Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import state_file as state_files

UNREADABLE = 3


class Mortal(Dataset):
    """Digits; the process is killed when a chosen image is read."""

    def __init__(self, killer=None):
        self.digits = Digits()
        self.targets = self.digits.targets
        self.killer = killer
        self.read = []

    def __len__(self):
        return len(self.digits)

    def __getitem__(self, index):
        if index == self.killer:
            os.kill(os.getpid(), signal.SIGKILL)
        if index == UNREADABLE:
            raise UnidentifiedImageError("broken")
        self.read.append(index)
        return self.digits[index]


def measure(name, encoders, split, transform, dataset, state_file=None, n_views=2):
    f, g = encoders
    options = {
        "n_views": n_views,
        "batch_size": 2,
        "skip_unreadable": True,
        "state_file": state_file,
    }
    members, holdout = split.candidate, split.external
    if name == "layer_mem":
        return memloc.measure_layer_mem(f, g, dataset, split, transform, **options)
    if name == "class_mem":
        return memloc.measure_class_mem(f, dataset, transform, members, **options)
    rest = "median" if name == "median" else "mean"
    return memloc.measure_unit_mem(
        f, dataset, transform, members, holdout, rest=rest, **options
    )


def assert_identical(result, expected):
    # A transform that a test wraps is described as another.
    first, second = (
        {name: of for name, of in given.settings.items() if name != "transform"}
        for given in (result, expected)
    )
    assert first == second
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(table, expected.tables[name], check_exact=True)


@pytest.fixture
def split(digits):
    indices = list(range(24))
    return memloc.MemorizationSplit.random(
        len(digits), 9, 7, 8, exclude=range(24, len(digits)), seed=len(indices)
    )


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *[("unit_mem", seed) for seed in range(3)],
        *[("layer_mem", seed) for seed in range(3)],
        ("median", 0),
        ("class_mem", 0),
    ],
)
def test_killed_and_resumed(tmp_path, encoders, split, transform, killed, name, seed):
    whole = Mortal()
    expected = measure(name, encoders, split, transform, whole)
    # Not the first two batches, before which nothing is kept.
    killer = random.Random(f"{name} {seed}").choice(whole.read[5:])
    state = tmp_path / "state"
    killed(measure, name, encoders, split, transform, Mortal(killer), state)

    assert state.exists()
    rest, views = Mortal(), []

    def seen(image):
        views.append(image)
        return transform(image)

    resumed = measure(name, encoders, split, seen, rest, state)
    assert_identical(resumed, expected)
    assert killer in rest.read
    # Images that were measured are read, as they may have been replaced, but not seen.
    assert set(rest.read) == set(whole.read)
    assert len(views) < 2 * len(set(whole.read))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def interrupted(tmp_path, encoders, split, transform):
    """The state file of an interrupted measurement."""

    class Broken(Mortal):
        def __getitem__(self, index):
            if len(self.read) > 9:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    state = tmp_path / "runs" / "state"
    with pytest.raises(KeyboardInterrupt):
        measure("unit_mem", encoders, split, transform, Broken(), state)
    return state


def test_another_measurement_is_refused(interrupted, encoders, split, transform):
    f, g = encoders
    kept = interrupted.read_bytes()
    for differs, arguments in (
        ("settings", ("median", (f, g), split, transform, Digits())),
        ("weights", ("unit_mem", (g, f), split, transform, Digits())),
        ("views", ("unit_mem", (f, g), split, transform, Digits(), 3)),
    ):
        name, pair, roles, view, dataset, *n_views = arguments
        with pytest.raises(MemorizationError, match=f"which differs in {differs}"):
            measure(name, pair, roles, view, dataset, interrupted, *n_views)
    other = replace(split, candidate=split.candidate[1:])
    with pytest.raises(MemorizationError, match=r"which differs in (settings|images)"):
        measure("unit_mem", (f, g), other, transform, Digits(), interrupted)
    assert interrupted.read_bytes() == kept


def test_an_evaluator_that_resumed_measures_anew_when_it_runs_again(
    interrupted, encoders, split, transform
):
    evaluator = memloc.UnitMemEvaluator(
        encoders[0],
        Study(
            Mortal(),
            transform,
            indices=split.candidate,
            holdout=split.external,
            n_views=2,
        ),
        batch_size=2,
        skip_unreadable=True,
        state_file=interrupted,
    )
    evaluator.run()
    with torch.no_grad():
        for parameter in encoders[0].parameters():
            parameter.add_(torch.randn_like(parameter))
    again = evaluator.run()
    assert_identical(again, measure("unit_mem", encoders, split, transform, Mortal()))


def test_no_state_file(tmp_path, encoders, split, transform):
    path = tmp_path / "notes.txt"
    path.write_text("not a state")
    with pytest.raises(MemorizationError, match="is not the state of a measurement"):
        measure("unit_mem", encoders, split, transform, Digits(), path)
    assert path.read_text() == "not a state"


def test_writes_rest_in_proportion_to_what_they_take(tmp_path, monkeypatch):
    clock = iter([0.0, 2.0, 2.0, 41.9, 42.0, 43.0])
    monkeypatch.setattr(state_files.time, "monotonic", lambda: next(clock))
    state, written = state_files.StateFile(tmp_path / "state"), []
    for batch in range(1, 5):
        state.keep(batch, lambda batch=batch: written.append(batch) or {})
    assert written == [1, 4]


def test_a_write_that_is_cut_off_keeps_the_last_state(
    interrupted, encoders, split, transform, monkeypatch
):
    kept = interrupted.read_bytes()

    def cut_off(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(state_files.torch, "save", cut_off)
    with pytest.raises(OSError, match="disk full"):
        measure("unit_mem", encoders, split, transform, Mortal(), interrupted)
    assert interrupted.read_bytes() == kept


def places(state, path=()):
    """Every entry of a state, as keys to follow."""
    for key in state:
        yield (*path, key)
        if isinstance(state[key], dict):
            yield from places(state[key], (*path, key))


def test_a_state_of_another_version_is_read_or_refused(
    interrupted, encoders, split, transform
):
    """Without each of its fields in turn, and with one that is unknown."""
    whole = torch.load(interrupted, weights_only=True)
    for place in places(whole):
        state = torch.load(interrupted, weights_only=True)
        of = state
        for key in place[:-1]:
            of = of[key]
        del of[place[-1]]
        torch.save(state, interrupted)
        with pytest.raises(MemorizationError, match="state") as refused:
            measure("unit_mem", encoders, split, transform, Mortal(), interrupted)
        assert str(interrupted) in str(refused.value), place
        torch.save(whole, interrupted)
    for field in ("unknown", "accumulated", "fingerprint"):
        state = torch.load(interrupted, weights_only=True)
        state[field] = 3
        torch.save(state, interrupted)
        if field == "unknown":
            measure("unit_mem", encoders, split, transform, Mortal(), interrupted)
        else:
            with pytest.raises(MemorizationError, match="state"):
                measure("unit_mem", encoders, split, transform, Mortal(), interrupted)
        torch.save(whole, interrupted)
