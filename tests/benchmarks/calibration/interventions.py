"""The change of accuracy after an intervention."""

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
from numpy.random import Generator

from lightly_memloc.functional import (
    Estimate,
    accuracy_change,
)
from tests.benchmarks.calibration.case import (
    Array,
    Case,
    one_by_one,
)

TRIALS = {
    # Share of changed answers, share of them that trials have in common, standard
    # deviation of the trials' own effects.
    "nearly identical trials": (0.1, 0.95, 0.0),
    "nearly independent trials": (0.1, 0.05, 0.0),
    "trials of different effects": (0.1, 0.7, 0.02),
    "nearly identical, few changes": (0.02, 0.95, 0.0),
    "nearly independent, few changes": (0.02, 0.05, 0.0),
}


def trials() -> Iterator[Case]:
    """Change of accuracy over trials that share their test images, or do not."""

    def draw(
        scenario: str,
        n_trials: int,
        n_images: int,
        rng: Generator,
        count: int,
        effect: float,
    ):
        changed, common, spread = TRIALS[scenario]

        def signs(*shape: int) -> Array:
            gain = rng.random(shape) < (1 + effect / changed) / 2
            return np.where(gain, 1, -1) * (rng.random(shape) < changed)

        shape = n_trials, n_images, count
        same = rng.random(shape) < common
        change = np.where(same, signs(n_images, count), signs(*shape))
        own = spread * rng.standard_normal((n_trials, 1, count))
        change = np.where(rng.random(shape) < abs(own), np.sign(own), change)
        right = rng.random((n_images, count)) < 0.8
        before = np.where(change == 0, right, change < 0)
        return before, before + change

    def draw_runs(
        n_trials: int, n_images: int, rng: Generator, count: int, effect: float
    ):
        scenario = "trials of different effects"
        drawn = draw(scenario, n_trials, n_trials * n_images, rng, count, effect)
        of_image = np.repeat(np.arange(n_trials), n_images)
        tested = of_image == np.arange(n_trials)[:, None]
        return tuple(np.where(tested[..., None], x, np.nan) for x in drawn)

    def estimate(before: Array, after: Array, n_resamples: int, seed: int) -> Estimate:
        return one_by_one(accuracy_change, before, after)

    def truth(scenario: str, effect: float) -> float:
        # The trials' own effects replace this share of the answers.
        return effect * (1 - TRIALS[scenario][2] * np.sqrt(2 / np.pi))

    for scenario, (changed, common, spread) in TRIALS.items():
        n = 500 if changed == 0.1 else 179
        for n_trials in (1, 2, 3, 5, 10) if not spread else (2, 3, 5, 10):
            together = common**2 + (1 - common**2) / n_trials
            error = np.sqrt(changed / n * together + spread**2 / n_trials)
            yield Case(
                "accuracy_change",
                scenario,
                (n_trials, n),
                partial(draw, scenario, n_trials, n),
                estimate,
                partial(truth, scenario),
                min(0.9 * changed, 3 * error),
            )
    for n_trials in (3, 6):
        yield Case(
            "accuracy_change",
            "runs, each with its own test images",
            (n_trials, 100),
            partial(draw_runs, n_trials, 100),
            estimate,
            partial(truth, "trials of different effects"),
            0.09,
        )


@cache
def pruned_answers() -> tuple[Array, Array]:
    """Test images of digits that an untrained encoder gets right: whole, and pruned.

    Half of the units of each layer are drawn at random and pruned, 60 times.
    """
    # These take seconds to import.
    import torch
    from torchvision.transforms import Compose, Resize, ToTensor

    from lightly_memloc import measure_unit_mem, prune_units
    from lightly_memloc.data.digits import Digits
    from lightly_memloc.interventions import select_units
    from lightly_memloc.probes import ProbeTask, logistic_probe
    from lightly_memloc.training import ResNet9

    digits, small = Digits(), Compose([Resize(16), ToTensor()])
    task = ProbeTask(digits, np.arange(300), np.arange(300, len(digits)), small)
    torch.manual_seed(0)
    model = ResNet9(width=4).eval()
    unit_mem = measure_unit_mem(model, digits, small, range(12), n_views=2)
    whole = logistic_probe(model, task).correct
    answers = []
    for seed in range(60):
        pruned = prune_units(model, select_units(unit_mem, "random", 0.5, True, seed))
        answers.append(logistic_probe(model, task).correct)
        pruned.undo()
    return whole, np.stack(answers)


def prunings() -> Iterator[Case]:
    """Random units are pruned instead of others, or (the effect) instead of none."""

    def draw(n_trials: int, n_images: int, rng: Generator, count: int, effect: float):
        whole, answers = pruned_answers()
        pairs = []
        for _ in range(count):
            images = rng.choice(len(whole), n_images, replace=False)
            first, second = answers[
                rng.choice(len(answers), (2, n_trials), replace=False)
            ]
            before = np.broadcast_to(whole, first.shape) if effect else first
            pairs.append(np.stack([before, second])[..., images])
        return tuple(np.stack(pairs, axis=-1).astype(float))

    def truth(effect: float) -> float:
        whole, answers = pruned_answers()
        return float(answers.mean() - whole.mean()) if effect else 0.0

    def estimate(before: Array, after: Array, n_resamples: int, seed: int) -> Estimate:
        return one_by_one(accuracy_change, before, after)

    # A single trial does not show how much random choices differ: it gives no p.
    for n_trials in (2, 3, 5, 10):
        yield Case(
            "accuracy_change",
            "random against random units, digits",
            (n_trials, 179),
            partial(draw, n_trials, 179),
            estimate,
            truth,
            1.0,
        )
