import multiprocessing
import random
import shutil
import signal
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchvision import transforms

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import Digits
from lightly_memloc.training import ResNet9

# Test processes run side by side: one thread each.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first: no process waits for a long one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def digits():
    return Digits()


@pytest.fixture
def transform():
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(16, scale=(0.5, 1), antialias=True),
            transforms.ToTensor(),
        ]
    )


@pytest.fixture
def encoders():
    torch.manual_seed(0)
    return ResNet9(width=4), ResNet9(width=4)


@pytest.fixture
def small_split(digits):
    rest = np.arange(31, len(digits)).tolist()
    return MemorizationSplit.random(len(digits), 9, 7, 8, exclude=rest)


@pytest.fixture
def generator_states() -> Callable[[], tuple]:
    def states() -> tuple:
        name, keys, *rest = np.random.get_state()
        return (
            torch.get_rng_state().tolist(),
            (name, keys.tolist(), *rest),
            random.getstate(),
        )

    return states


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture
def killed() -> Callable[..., None]:
    """Call a function in a copy of this process, which is killed on the way."""

    def call(function: Callable[..., object], *arguments: object) -> None:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=function, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    return call


@pytest.fixture
def stir() -> Callable[[int], None]:
    def seed_all(seed: int) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)

    return seed_all
