import io
import re

import pytest
from rich.console import Console

from lightly_memloc import MemorizationSplit
from lightly_memloc.training import TrainingConfig, callbacks, train_pair


@pytest.fixture
def train(digits):
    split = MemorizationSplit.random(1797, 8, 8, 8, exclude=range(32, 1797))
    config = TrainingConfig.for_data(
        "digits", backbone="resnet9-slim", epochs=4, batch_size=8
    )
    return lambda: train_pair(digits, split, config, title="Training")


def test_a_log_gets_a_line_when_half_a_minute_has_passed(train, monkeypatch, capsys):
    clock = iter(range(0, 10_000, 11))
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    f, _ = train()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(
        f"Training f (simclr): epoch 3 of 4, loss {f.losses[2]:.3f}, "
    )
    assert re.search(r"0:00:\d\d left$", lines[0])
    assert len(lines) == 2


def test_a_short_training_says_nothing_to_a_log(train, capsys):
    train()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_time_left(train, monkeypatch):
    screen = io.StringIO()

    def terminal(**options):
        return Console(file=screen, force_terminal=True, width=100)

    monkeypatch.setattr(callbacks, "Console", terminal)
    train()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "Training f (simclr)" in shown
    assert re.search(
        r"epoch 4 of 4\s+loss \d+\.\d{3}\s+0:00:\d\d\s+left 0:00:00", shown
    )
