import pytest
import torch
from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers.trace import Tap, Trace, tapped


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Linear(2, 2)
        self.other = nn.Identity()

    def forward(self, x, fail=False):
        x = self.shift(self.shift(x))
        if fail:
            raise RuntimeError("on the way")
        return self.other(input=x)


def watched(model, taps, *runs):
    seen = []

    def receive(tap, call, value):
        seen.append((tap.module, tap.side, call, value))

    with tapped(model, taps, receive):
        for run in runs:
            run()
    return seen


def test_calls_count_from_zero_in_every_forward():
    model, x = Twice(), torch.ones(1, 2)
    seen = watched(
        model, [Tap("shift", "output")], lambda: model(x), lambda: model(x + 1)
    )
    assert [call for _, _, call, _ in seen] == [0, 1, 0, 1]


def test_calls_count_anew_after_a_failed_forward():
    model, x = Twice(), torch.ones(1, 2)

    def fail():
        with pytest.raises(RuntimeError, match="on the way"):
            model(x, fail=True)

    seen = watched(model, [Tap("shift", "output")], fail, lambda: model(x))
    assert [call for _, _, call, _ in seen] == [0, 1, 0, 1]


def test_sides_are_counted_apart():
    model, x = Twice(), torch.ones(1, 2)
    weight, bias = model.shift.weight, model.shift.bias
    first = x @ weight.T + bias
    second = first @ weight.T + bias
    taps = [Tap("shift", "output"), Tap("shift", "input")]
    seen = watched(model, taps, lambda: model(x))
    assert [item[:3] for item in seen] == [
        ("shift", "input", 0),
        ("shift", "output", 0),
        ("shift", "input", 1),
        ("shift", "output", 1),
    ]
    for (*_, value), expected in zip(seen, [x, first, first, second], strict=True):
        torch.testing.assert_close(value, expected)


def test_input_given_by_keyword():
    model, x = Twice(), torch.ones(1, 2)
    ((_, _, _, value),) = watched(model, [Tap("other", "input")], lambda: model(x))
    with torch.no_grad():
        torch.testing.assert_close(value, model.shift(model.shift(x)))


def test_repeated_tap_hands_on_once():
    model, x = Twice(), torch.ones(1, 2)
    seen = watched(model, [Tap("other", "input")] * 3, lambda: model(x))
    assert len(seen) == 1


def test_hooks_of_others_stay_and_own_go(hooks):
    model = Twice()
    model.shift.register_forward_hook(lambda *_: None)
    model.register_forward_pre_hook(lambda *_: None)
    before = hooks(model)
    taps = [Tap("shift", "output"), Tap("shift", "input"), Tap("other", "output")]
    with tapped(model, taps, lambda *_: None):
        assert hooks(model) != before
    assert hooks(model) == before


def test_unknown_module_leaves_no_hook(hooks):
    model = Twice()
    before = hooks(model)
    taps = [Tap("shift", "output"), Tap("missing", "output")]
    with (
        pytest.raises(AttributeError, match="missing"),
        tapped(model, taps, lambda *_: None),
    ):
        pass
    assert hooks(model) == before


class Features(nn.Module):
    """Features of two layers, the second of which ``forward`` runs before it ends."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 3)
        self.entered = []

    def forward_features(self, x):
        self.entered.append("forward_features")
        return self.second(self.first(x))


class NeedsMask(Features):
    def forward(self, x, mask):
        return self.forward_features(x * mask)


class FailsHalfway(Features):
    def forward(self, x):
        raise RuntimeError(f"no head for {self.second(self.first(x)).shape[1]}")


class Works(Features):
    def forward(self, x):
        return self.second(x)


class NeedsMaskAlone(nn.Module):
    def forward(self, x, mask):
        return x * mask


class FailsTwice(NeedsMask):
    def forward_features(self, x):
        raise RuntimeError("no positions")


@pytest.mark.parametrize("kind", [NeedsMask, FailsHalfway])
def test_a_model_whose_forward_fails_runs_through_forward_features(kind):
    trace = Trace(kind(), torch.ones(2, 2))
    assert trace.entry == "forward_features"
    assert [trace.calls(name) for name in ("first", "second")] == [1, 1]
    assert trace.starts()["first"] < trace.starts()["second"]


def test_forward_features_is_not_called_where_forward_works():
    model = Works()
    trace = Trace(model, torch.ones(2, 2))
    assert trace.entry == "forward"
    assert model.entered == []
    assert [trace.calls(name) for name in ("first", "second")] == [0, 1]


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        (NeedsMaskAlone, "forward raised TypeError: .*'mask'"),
        (FailsTwice, "'mask'.* forward_features raised RuntimeError: no positions"),
    ],
)
def test_a_model_that_runs_through_neither_is_refused(hooks, kind, reasons):
    model = kind()
    before = hooks(model)
    with pytest.raises(
        MemorizationError, match=rf"{kind.__name__}.*\(2, 2\).*{reasons}"
    ):
        Trace(model, torch.ones(2, 2))
    assert hooks(model) == before
