"""How often intervals cover the truth, and how often tests find what is not there.

    python -m tests.benchmarks.calibration [--repetitions 4000] [--workers 2]
        [--resamples 499] [--only PATTERN]

Each case draws data sets whose truth is known by construction, once without an effect
and once with a planted effect, and passes them to an estimator. One row per case shows
how often the 95% interval contains the truth (with the effect, and without) and how
often p is at most 0.05 without the effect (type I error) and with it (power). Intervals
that an estimator does not provide (NaN) are left out of the coverage and counted in
``no_interval``; a p-value that is NaN does not reject.

A list of images at a false discovery rate of 5% (``q_values``) is shown as the interval
of one image: its coverage is one minus the false discovery rate, its type I error how
often a list is not empty although nothing is memorised, and its power the share of the
memorised images that are listed.

The estimators' default is 2000 resamples (999 for the member share). Here it is 499,
for speed: a test at 5% stays exact. Repetitions are computed 50 at a time, as the columns of one call; these share the
draws of the resampling, but no data.

To add an estimator, write a generator of ``Case`` and list it in ``STATISTICS``.
"""

import argparse
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from lightly_memloc.functional import (
    Estimate,
    accuracy,
    accuracy_change,
    alignment_gap,
    calibrated_layer_mem,
    conformal_p,
    cross_fitted_mean,
    difference_of_means,
    kendall_tau,
    layer_mem,
    member_share,
    membership,
    moderated_mean,
    q_values,
    run_scores,
    ssl_mem,
    student_mean,
    symmetric_layer_mem,
    top_overlap,
    top_scores,
    unit_mem_gap,
    welch_t_test,
)
from tests.benchmarks.calibration_page import (
    HIGHEST_TYPE_1,
    LOWEST_COVERAGE,
    is_missed,
    page_with,
)

Array = np.ndarray
RESULTS = Path(__file__).parents[2] / "docs/results"
NOMINAL, BATCH, POPULATION = 0.95, 50, 400_000


@dataclass(frozen=True)
class Case:
    """A statistic in a scenario.

    Attributes:
        statistic: Name of the statistic.
        scenario: What the data are like.
        n: Sizes of the sets, the first one first.
        draw: Draws data sets from a generator: their number and the effect (0 for
            none) give the estimator's arguments, the data sets along the last axis.
        estimate: The estimator, with fields of one entry per data set.
        truth: What the estimate estimates, given the effect.
        effect: The planted effect.
    """

    statistic: str
    scenario: str
    n: tuple[int, ...]
    draw: Callable[[Generator, int, float], tuple[Array, ...]]
    estimate: Callable[..., Estimate]
    truth: Callable[[float], float]
    effect: float

    @property
    def name(self) -> str:
        """Statistic, scenario and sizes, as ``--only`` matches them."""
        return f"{self.statistic}, {self.scenario}, n={self.sizes}"

    @property
    def sizes(self) -> str:
        """The sizes in words, such as 50/5000."""
        return "/".join(map(str, self.n))


# Distributions of mean 0 and standard deviation 1, images along the first axis.


def normal(rng: Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape)


def lognormal(rng: Generator, shape: tuple[int, ...]) -> Array:
    return (np.exp(rng.standard_normal(shape)) - np.sqrt(np.e)) / np.sqrt(
        np.e * (np.e - 1)
    )


def t3(rng: Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_t(3, shape) / np.sqrt(3)


def ties(rng: Generator, shape: tuple[int, ...]) -> Array:
    return rng.binomial(4, 0.5, shape) - 2.0


def outliers(rng: Generator, shape: tuple[int, ...]) -> Array:
    """One image in twenty lies about ten standard deviations from the others."""
    far = 10 * rng.choice([-1, 1], shape) * (rng.random(shape) < 0.05)
    return (rng.standard_normal(shape) + far) / np.sqrt(6)


def clusters(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Four neighbours at a time belong together, with intraclass correlation 0.8."""
    shared = rng.standard_normal((-(-shape[0] // 4), *shape[1:])).repeat(4, axis=0)
    own = rng.standard_normal(shape)
    return np.sqrt(0.8) * shared[: shape[0]] + np.sqrt(0.2) * own


def duplicates(rng: Generator, shape: tuple[int, ...]) -> Array:
    """The last quarter of the images repeats the first."""
    x = rng.standard_normal(shape)
    copied = shape[0] // 4
    x[shape[0] - copied :] = x[:copied]
    return x


def stratified(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Ten classes of as many images in every set explain 80% of the variance."""
    of_class = np.arange(10) - 4.5
    between = (of_class / of_class.std())[np.arange(shape[0]) % 10]
    within = np.moveaxis(rng.standard_normal(shape), 0, -1)
    return np.moveaxis(np.sqrt(0.8) * between + np.sqrt(0.2) * within, -1, 0)


Distribution = Callable[[Generator, tuple[int, ...]], Array]
SHAPES: tuple[Distribution, ...] = (normal, lognormal, t3, ties, outliers)
DEPENDENT: tuple[Distribution, ...] = (clusters, duplicates)


def shifted(
    distribution: Distribution, rng: Generator, shape: tuple[int, ...], effect: float
) -> Array:
    """Draws with mean ``effect``; ties stay, since each moves by whole steps."""
    x = distribution(rng, shape)
    if distribution is ties:
        whole = np.floor(effect)
        return x + whole + (rng.random(shape) < effect - whole)
    return x + effect


def one_by_one(estimator: Callable[..., Estimate], *data: Array) -> Estimate:
    """Apply an estimator of a single data set to those along the last axis."""
    rows = [estimator(*(x[..., i] for x in data)) for i in range(data[0].shape[-1])]
    value, low, high = (
        np.array([getattr(row, name) for row in rows], float).ravel()
        for name in ("value", "low", "high")
    )
    p = None if rows[0].p is None else np.array([row.p for row in rows]).ravel()
    return Estimate(value, low, high, p)


# The statistics.


def groups_of(of: Distribution, n: int) -> Array:
    """Which images belong together."""
    if of is duplicates:
        return np.concatenate([np.arange(n - n // 4), np.arange(n // 4)])
    return np.arange(n) // (4 if of is clusters else 1)


def design(of: Distribution, *sizes: int) -> dict[str, Array]:
    """How sets were drawn: in groups, or within strata."""
    if of is stratified:
        return {"strata": np.concatenate([np.arange(n) % 10 for n in sizes])}
    if of not in DEPENDENT:
        return {}
    sets = [10_000 * i + groups_of(of, n) for i, n in enumerate(sizes)]
    return {"groups": np.concatenate(sets)}


def one_mean() -> Iterator[Case]:
    """LayerMem: the mean of scores, and of SSLMem of lognormal distances."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return (shifted(of, rng, (n, count), effect),)

    def estimate(of: Distribution, n: int, x: Array, **options: int) -> Estimate:
        return layer_mem(x, **options, **design(of, n))

    for of, n in [(of, n) for of in SHAPES for n in (5, 10, 20, 50)] + [
        (of, n) for of in DEPENDENT for n in (48, 80)
    ]:
        yield Case(
            "layer_mem",
            f"{of.__name__} scores",
            (n,),
            partial(draw, of, n),
            partial(estimate, of, n),
            lambda effect: effect,
            3 / np.sqrt(n),
        )

    def distances(
        normalization: str, n: int, rng: Generator, count: int, effect: float
    ):
        difficulty, *noise = np.exp(rng.standard_normal((3, n, count)) * 0.5)
        a_f, a_g = difficulty * noise[0] * np.exp(-effect), difficulty * noise[1]
        return (ssl_mem(a_f, a_g, normalization),)

    def truth(data: Callable[..., tuple[Array]], effect: float) -> float:
        (m,) = data(np.random.default_rng(1), 40_000, effect)
        return float(m.mean())

    for normalization, n in product(("relative", "raw"), (5, 10, 20, 50)):
        data = partial(distances, normalization, n)
        yield Case(
            "layer_mem",
            f"lognormal distances, {normalization}",
            (n,),
            data,
            layer_mem,
            partial(truth, data),
            2 / np.sqrt(n),
        )


def student() -> Iterator[Case]:
    """Means over runs, each of which is a mean over 50 images."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return (
            shifted(of, rng, (50, n * count), 0).mean(axis=0).reshape(n, count) * 7
            + effect,
        )

    def estimate(x: Array, n_resamples: int, seed: int) -> Estimate:
        return student_mean(x)

    for of, n in [(of, n) for of in SHAPES for n in (3, 5, 10, 20)]:
        yield Case(
            "student_mean",
            f"means of {of.__name__} scores",
            (n,),
            partial(draw, of, n),
            estimate,
            lambda effect: effect,
            3 / np.sqrt(n),
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


def runs() -> Iterator[Case]:
    """SSLMem over runs: the offsets removed, then Student's t over runs."""

    def draw(of: Distribution, k: int, rng: Generator, count: int, effect: float):
        roles = rng.permuted(np.tile(np.repeat([1, -1, 0], 20), (k, 1)), axis=1)
        offset = rng.standard_normal((k, 1, count))
        m = of(rng, (60, k * count)).reshape(60, k, count).swapaxes(0, 1)
        return roles, m + offset + roles[..., None] * effect

    def estimate(roles: Array, m: Array, n_resamples: int, seed: int) -> Estimate:
        return student_mean(run_scores(m, roles, "raw").layer_mem)

    for of, k in [(of, k) for of in (normal, lognormal, t3, clusters) for k in (3, 6)]:
        yield Case(
            "run_scores + student_mean",
            of.__name__,
            (k,),
            partial(draw, of, k),
            estimate,
            lambda effect: effect,
            0.6 / np.sqrt(k),
        )


CONTRASTS = [
    *(
        (of.__name__, of, n, m, 1.0)
        for of in SHAPES
        for n, m in ((5, 5), (10, 10), (20, 20), (50, 50), (50, 5000))
    ),
    *(
        ("first set of threefold s.d.", normal, n, m, 3.0)
        for n, m in ((10, 50), (50, 10), (50, 5000))
    ),
    *((of.__name__, of, n, n, 1.0) for of in DEPENDENT for n in (20, 48)),
    *((stratified.__name__, stratified, n, n, 1.0) for n in (20, 50)),
]


def contrasts() -> Iterator[Case]:
    """Calibrated and symmetric LayerMem of raw scores, and Welch's test."""

    def draw(
        of: Distribution,
        n: int,
        m: int,
        scale: float,
        rng: Generator,
        count: int,
        effect: float,
    ):
        first = shifted(of, rng, (n, count), effect / scale) * scale
        return first, of(rng, (m, count))

    def raw(
        estimator: Callable[..., Estimate],
        of: Distribution,
        first: Array,
        second: Array,
        **options: int,
    ) -> Estimate:
        how = design(of, len(first), len(second))
        return estimator(first, second, normalization="raw", **options, **how)

    def welch(
        of: Distribution, first: Array, second: Array, n_resamples: int, seed: int
    ) -> Estimate:
        unknown = Estimate.unknown(first.shape[1])
        p = welch_t_test(first, second)[1]
        return Estimate(unknown.value, unknown.low, unknown.high, p)

    estimators: dict[str, tuple[Callable[..., Estimate], float]] = {
        "calibrated": (partial(raw, calibrated_layer_mem), 1),
        "symmetric": (partial(raw, symmetric_layer_mem), 2),
        "welch_t_test": (welch, 1),
    }
    for statistic, (estimator, part) in estimators.items():
        for scenario, of, n, m, scale in CONTRASTS:
            # Welch's test compares images that are independent, and varies with both.
            if statistic == "welch_t_test" and (of in (*DEPENDENT, stratified)):
                continue
            yield Case(
                statistic,
                scenario,
                (n, m),
                partial(draw, of, n, m, scale),
                partial(estimator, of),
                lambda effect, part=part: effect / part,
                3 * np.sqrt(scale**2 / n + 1 / m),
            )


def offset_contrasts() -> Iterator[Case]:
    """Calibrated LayerMem of relative SSLMem, encoders offset by a factor of e."""
    spread = 0.3

    def scores(
        of: Distribution, rng: Generator, shape: tuple[int, ...], effect: float
    ) -> Array:
        difficulty = np.exp(0.5 * of(rng, shape))
        noise = np.exp(spread * rng.standard_normal(shape))
        return ssl_mem(difficulty * np.exp(-effect) / noise, difficulty * np.e)

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return scores(of, rng, (n, count), effect), scores(of, rng, (n, count), 0)

    for of, n in product((normal, clusters), (5, 10, 20, 50)):
        yield Case(
            "calibrated",
            f"relative SSLMem with an offset, {of.__name__} difficulty",
            (n, n),
            partial(draw, of, n),
            calibrated_layer_mem,
            lambda effect: np.tanh(effect / 2),
            3 * spread * np.sqrt(2 / n),
        )


def gaps() -> Iterator[Case]:
    """The alignment gap of positive distances: candidates' smaller by a factor."""

    def positive(of: str, rng: Generator, shape: tuple[int, ...]) -> Array:
        if of == "normal":
            return 1 + rng.standard_normal(shape) / 10
        if of == "t3":
            return np.abs(rng.standard_t(3, shape))
        if of == "ties":
            return 1.0 + rng.binomial(3, 0.3, shape)
        return np.exp((clusters if of == "clusters" else normal)(rng, shape))

    def draw(of: str, n: int, m: int, rng: Generator, count: int, effect: float):
        factor = (1 - effect) / (1 + effect)
        return factor * positive(of, rng, (n, count)), positive(of, rng, (m, count))

    def estimate(of: str, first: Array, second: Array, **options: int) -> Estimate:
        dependence = clusters if of == "clusters" else normal
        how = design(dependence, len(first), len(second))
        return alignment_gap(first, second, **options, **how)

    # Coefficients of variation, so that the effect is about three standard errors.
    variation = {
        "normal": 0.1,
        "lognormal": 1.31,
        "t3": 1.21,
        "ties": 0.42,
        "clusters": 1.31,
    }
    for of, spread in variation.items():
        sizes = ((5, 5), (10, 10), (20, 20), (50, 50), (50, 5000))
        for n, m in sizes if of != "clusters" else ((48, 48), (80, 80)):
            yield Case(
                "alignment_gap",
                of,
                (n, m),
                partial(draw, of, n, m),
                partial(estimate, of),
                lambda effect: effect,
                min(0.8, 1.5 * spread * np.sqrt(1 / n + 1 / m)),
            )


def many_layers() -> Iterator[Case]:
    """The smallest p adjusted over 12 layers, which share 70% of their variance."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        sets = []
        for shift in (effect, 0):
            common, own = of(rng, (n, 1, count)), of(rng, (n, 12, count))
            x = np.sqrt(0.7) * common + np.sqrt(0.3) * own
            x[:, 5] += shift
            sets.append(x)
        return sets[0], sets[1]

    def estimate(first: Array, second: Array, **options: int) -> Estimate:
        def of_one(one: Array, other: Array) -> Estimate:
            found = difference_of_means(one, other, **options)
            least = np.min(found.p_adjusted)
            return Estimate(*np.array([np.nan, np.nan, np.nan, least]))

        return one_by_one(of_one, first, second)

    for of, n in product((normal, lognormal, t3), (10, 50)):
        yield Case(
            "p adjusted over 12 layers",
            of.__name__,
            (n, n),
            partial(draw, of, n),
            estimate,
            lambda effect: effect,
            4 * np.sqrt(2 / n),
        )


def shares() -> Iterator[Case]:
    """Member share: images win units by their weight, members by more.

    With a reference encoder, an image has about the same weight in both. Members win
    more in one encoder, the others in the other.
    """
    units = 64

    def draw(
        n: int,
        spread: float,
        block: int,
        has_reference: bool,
        rng: Generator,
        count: int,
        effect: float,
    ):
        weight = np.exp(spread * rng.standard_normal((count, 2 * n)))
        wins = []
        for memorised in (slice(n), slice(n, None))[: 1 + has_reference]:
            own = weight.copy()
            if has_reference:
                own *= np.exp(0.3 * spread * rng.standard_normal(own.shape))
            own[:, memorised] *= np.exp(effect)
            chance = own / own.sum(axis=1, keepdims=True)
            wins.append(block * rng.multinomial(units // block, chance).T)
        return tuple(wins)

    def estimate(
        n: int, wins: Array, *reference: Array, n_resamples: int, seed: int
    ) -> Estimate:
        return member_share(
            wins,
            np.arange(2 * n) < n,
            n_resamples,
            seed=seed,
            reference_wins=reference[0] if reference else None,
        )

    def truth(n: int, draw: Callable[..., tuple[Array, ...]], effect: float) -> float:
        if not effect:
            return 0.5
        wins = draw(np.random.default_rng(1), 5000, effect)
        of_members = [float(np.mean(won[:n].sum(axis=0) / units)) for won in wins]
        if len(wins) == 1:
            return of_members[0]
        return 0.5 + (of_members[0] - of_members[1]) / 2

    scenarios = {
        "equal images": (0.0, 1, 0.8),
        "dependent units, blocks of 8": (0.0, 8, 1.5),
        "shared winners": (2.0, 1, 1.5),
        "few winners": (4.0, 1, 3.0),
    }
    for has_reference in (False, True):
        for scenario, (spread, block, effect) in scenarios.items():
            for n in (10, 20, 50, 200):
                data = partial(draw, n, spread, block, has_reference)
                yield Case(
                    "member_share, reference" if has_reference else "member_share",
                    scenario,
                    (n, n),
                    data,
                    partial(estimate, n),
                    partial(truth, n, data),
                    effect,
                )


def unit_gaps() -> Iterator[Case]:
    """UnitMem gap: activations of members are multiplied, or raised to a power.

    In each unit one member's activation is multiplied. Or the activations of all
    members are more selective: raised to a power. With a reference encoder, both
    encoders share a part of each image's activation.
    """
    units, pairs = 32, 10

    def memorise(mu: Array, all_members: bool, effect: float) -> None:
        if all_members:
            mu **= 1 + effect
        else:
            chosen = np.arange(units)
            mu[chosen % len(mu), chosen] *= np.exp(effect)

    def draw(
        n: int,
        common: float,
        all_members: bool,
        has_reference: bool,
        rng: Generator,
        count: int,
        effect: float,
    ):
        shared = rng.standard_normal((2, n, 1, count)) * np.sqrt(common)
        encoders = []
        for role in range(1 + has_reference):
            own = rng.standard_normal((2, n, units, count)) * np.sqrt(1 - common)
            mu = np.exp(shared + own)
            memorise(mu[role], all_members, effect)
            encoders.append(mu)
        return tuple(encoders)

    def grouped(mu: Array) -> tuple[Array, Array, Array]:
        # Independent images need no random order of the groups.
        groups = [x for x in np.array_split(mu, pairs, axis=1) if x.shape[1]]
        largest = np.stack([x.max(axis=1) for x in groups], axis=1)
        total = np.stack([x.sum(axis=1) for x in groups], axis=1)
        counts = np.array([[x.shape[1] for x in groups]] * 2)
        # The units of all data sets side by side, as those of layers.
        flat = (
            np.moveaxis(x, 3, 2).reshape(2, len(groups), -1) for x in (largest, total)
        )
        return *flat, counts

    def estimate(*encoders: Array, n_resamples: int, seed: int) -> Estimate:
        largest, total, counts = grouped(encoders[0])
        reference = grouped(encoders[1])[:2] if len(encoders) > 1 else None
        sizes = [units] * encoders[0].shape[-1]
        return unit_mem_gap(
            largest, total, counts, layer_sizes=sizes, reference=reference
        )

    def selectivity(mu: Array) -> Array:
        largest = mu.max(axis=0)
        rest = (mu.sum(axis=0) - largest) / (len(mu) - 1)
        return ((largest - rest) / (largest + rest)).mean(axis=0)

    def gap(mu: Array) -> float:
        return float((selectivity(mu[0]) - selectivity(mu[1])).mean())

    def truth(draw: Callable[..., tuple[Array, ...]], effect: float) -> float:
        if not effect:
            return 0.0
        rng = np.random.default_rng(1)
        pairs = [draw(rng, 200, effect) for _ in range(10)]
        signs = (1, -1)
        return float(
            np.mean(
                [
                    np.mean([s * gap(mu) for s, mu in zip(signs, pair, strict=False)])
                    for pair in pairs
                ]
            )
        )

    for scenario, common, all_members, has_reference, effect in (
        ("independent units", 0.0, False, False, 0.7),
        ("dependent units", 0.8, False, False, 1.5),
        ("independent units, large gap", 0.0, False, False, 3.0),
        ("all members more selective", 0.0, True, False, 0.5),
        ("dependent units, reference", 0.8, False, True, 1.5),
    ):
        for n in (10, 50):
            data = partial(draw, n, common, all_members, has_reference)
            yield Case(
                "unit_mem_gap",
                scenario,
                (n, n),
                data,
                estimate,
                partial(truth, data),
                effect,
            )


SEPARATIONS = [
    *(
        (of.__name__, of, n, m, 1.0, 1.0)
        for of in SHAPES
        for n, m in ((5, 5), (10, 10), (20, 20), (50, 50))
    ),
    *(
        (of.__name__, of, n, m, 1.0, 1.0)
        for of in (normal, lognormal)
        for n, m in ((50, 5000), (5000, 50))
    ),
    ("members of threefold s.d.", normal, 10, 50, 3.0, 1.0),
    ("members of threefold s.d.", normal, 50, 10, 3.0, 1.0),
    *(("separated well", normal, n, n, 1.0, 3.0) for n in (10, 20, 50)),
    *((of.__name__, of, 48, 48, 1.0, 1.0) for of in DEPENDENT),
]


def attacks() -> Iterator[Case]:
    """AUC and TPR at 1% FPR; the truth is that of a large population."""

    def draw(
        of: Distribution,
        n: int,
        m: int,
        scale: float,
        rng: Generator,
        count: int,
        effect: float,
    ):
        members = shifted(of, rng, (n, count), effect / scale) * scale
        return members, of(rng, (m, count))

    def population(of: Distribution, scale: float, effect: float) -> Any:
        rng, size = np.random.default_rng(1), POPULATION
        return draw(of, size, size, scale, rng, 1, effect)

    def auc_truth(of: Distribution, scale: float, effect: float) -> float:
        if not effect:
            return 0.5
        members, others = population(of, scale, effect)
        above = stats.rankdata(np.concatenate([members, others]))[:POPULATION].mean()
        return float((above - (POPULATION + 1) / 2) / POPULATION)

    def tpr_truth(of: Distribution, scale: float, effect: float) -> float:
        members, others = population(of, scale, effect)
        threshold = np.quantile(others, 0.99, method="inverted_cdf")
        return float((members > threshold).mean())

    def auc(members: Array, others: Array, groups: Any = None, **draws: int):
        return membership(members, others, None, groups=groups, **draws).auc

    def tpr(members: Array, others: Array, groups: Any = None, **draws: int):
        return membership(members, others, groups=groups, **draws).tpr

    for scenario, of, n, m, scale, effect in SEPARATIONS:
        data = partial(draw, of, n, m, scale)
        yield Case(
            "auc", scenario, (n, m), data, auc, partial(auc_truth, of, scale), effect
        )
    # A false positive rate of 1% takes 99 non-members.
    for of in SHAPES:
        for n, m in ((50, 99), (100, 200), (50, 5000), (5000, 100)):
            truth = partial(tpr_truth, of, 1.0)
            data = partial(draw, of, n, m, 1.0)
            yield Case("tpr", of.__name__, (n, m), data, tpr, truth, 1.0)
    for of, n, m in ((clusters, 48, 48), (duplicates, 48, 48)):
        groups = groups_of(of, n, m)
        yield Case(
            "auc",
            f"{of.__name__}, with groups",
            (n, m),
            partial(draw, of, n, m, 1.0),
            partial(auc, groups=groups),
            partial(auc_truth, of, 1.0),
            1.0,
        )
    # A false positive rate of 1% takes 99 groups of non-members.
    for of, n, m in (
        (clusters, 200, 400),
        (clusters, 200, 2000),
        (duplicates, 100, 200),
    ):
        groups = groups_of(of, n, m)
        yield Case(
            "tpr",
            f"{of.__name__}, with groups",
            (n, m),
            partial(draw, of, n, m, 1.0),
            partial(tpr, groups=groups),
            partial(tpr_truth, of, 1.0),
            1.0,
        )


def groups_of(of: Distribution, n: int, m: int) -> Array:
    """Groups of the images of two sets: clusters of four, or images and copies."""

    def of_set(size: int) -> Array:
        number = np.arange(size)
        if of is clusters:
            return number // 4
        return np.where(number < size - size // 4, number, number - size + size // 4)

    return np.concatenate([of_set(n), n + of_set(m)])


def attacks_of_layers() -> Iterator[Case]:
    """AUC and TPR over 12 correlated layers: whether any layer is found."""
    layers = 12

    def draw(
        of: Distribution, n: int, m: int, rng: Generator, count: int, effect: float
    ):
        shape = n + m, count, layers
        common = of(rng, shape[:2])[..., None]
        scores = np.sqrt(0.5) * common + np.sqrt(0.5) * of(rng, shape)
        scores[:n, :, -1] += effect
        return scores[:n].swapaxes(1, 2), scores[n:].swapaxes(1, 2)

    def estimate(name: str, groups: Any, members: Array, others: Array, **draws: int):
        found = [
            getattr(
                membership(
                    members[..., i],
                    others[..., i],
                    0.01 if name == "tpr" else None,
                    groups=groups,
                    **draws,
                ),
                name,
            ).p_adjusted.min()
            for i in range(members.shape[-1])
        ]
        unknown = Estimate.unknown(len(found))
        return Estimate(unknown.value, unknown.low, unknown.high, np.array(found))

    for name, of, n, m in (
        ("auc", normal, 20, 20),
        ("auc", lognormal, 20, 20),
        ("auc", ties, 20, 20),
        ("auc", clusters, 48, 48),
        ("tpr", normal, 50, 100),
        ("tpr", ties, 50, 100),
        ("tpr", clusters, 100, 400),
    ):
        groups = groups_of(of, n, m) if of is clusters else None
        yield Case(
            f"{name}, p_adjusted over 12 layers",
            of.__name__ + (", with groups" if of is clusters else ""),
            (n, m),
            partial(draw, of, n, m),
            partial(estimate, name, groups),
            lambda effect: effect,
            1.0,
        )


def correlations() -> Iterator[Case]:
    """Kendall's tau of elliptical scores: 2 / pi asin(rho), or a population's."""

    def draw(scenario: str, n: int, rng: Generator, count: int, effect: float):
        base = clusters if scenario == "clusters" else normal
        x, z = base(rng, (n, count)), base(rng, (n, count))
        y = effect * x + np.sqrt(1 - effect**2) * z
        if scenario == "t3":
            x, y = np.stack([x, y]) / np.sqrt(rng.chisquare(3, (n, count)) / 3)
        if scenario == "ties":
            x, y = np.clip(np.round(x), -1, 1), np.clip(np.round(y), -1, 1)
        if scenario == "duplicates":
            x[-(n // 4) :], y[-(n // 4) :] = x[: n // 4], y[: n // 4]
        return x, y

    def estimate(x: Array, y: Array, n_resamples: int, seed: int) -> Estimate:
        return one_by_one(kendall_tau, x, y)

    def truth(scenario: str, effect: float) -> float:
        if scenario == "ties" and effect:
            x, y = draw(scenario, POPULATION, np.random.default_rng(1), 1, effect)
            return float(stats.kendalltau(x, y).statistic)
        return 2 / np.pi * np.arcsin(effect)

    for scenario in ("normal", "t3", "ties", "clusters", "duplicates"):
        for n in (5, 10, 20, 48) if scenario != "clusters" else (20, 48):
            yield Case(
                "kendall_tau",
                scenario,
                (n,),
                partial(draw, scenario, n),
                estimate,
                partial(truth, scenario),
                min(0.8, 2.8 / np.sqrt(n)),
            )


def overlaps() -> Iterator[Case]:
    """Overlap of the top quarter of two scores; it has no interval."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        x, z = of(rng, (n, count)), of(rng, (n, count))
        return x, effect * x + np.sqrt(1 - effect**2) * z

    def estimate(k: int, x: Array, y: Array, n_resamples: int, seed: int) -> Estimate:
        return one_by_one(partial(top_overlap, k=k), x, y)

    for of in (normal, lognormal, ties, *DEPENDENT):
        for n in (10, 20, 48, 200):
            yield Case(
                "top_overlap",
                of.__name__,
                (n,),
                partial(draw, of, n),
                partial(estimate, n // 4),
                lambda effect: np.nan,
                min(0.8, 4 / np.sqrt(n)),
            )


def accuracies() -> Iterator[Case]:
    """Accuracy of 0.7 without and with the effect added; it has no test."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return (of(rng, (n, count)) < stats.norm.ppf(0.7 + effect),)

    def estimate(hit: Array, n_resamples: int, seed: int) -> Estimate:
        return one_by_one(lambda x: accuracy(x, np.ones_like(x)), hit)

    for of, n, effect in (
        *((normal, n, effect) for n in (5, 10, 20, 50, 179) for effect in (0.25, 0.28)),
        (clusters, 48, 0.25),
    ):
        yield Case(
            "accuracy",
            f"{of.__name__}, {0.7 + effect:.0%}",
            (n,),
            partial(draw, of, n),
            estimate,
            lambda effect: 0.7 + effect,
            effect,
        )


def listed(q: Array, memorised: Array, rng: Generator) -> tuple[bool, float]:
    """What a list at a false discovery rate of 5% contains.

    Returns:
        Whether a random image of the list is memorised, which is true of an empty list;
        and the q of a random memorised image, or the smallest if there is none.
    """
    images = np.flatnonzero(q <= 1 - NOMINAL)
    is_true = bool(memorised[rng.choice(images)]) if len(images) else True
    return is_true, rng.choice(q[memorised]) if memorised.any() else q.min()


def of_lists(q: list[Array], memorised: Array, seed: int) -> Estimate:
    """Lists as an estimate: 'coverage' is one minus the false discovery rate.

    Type I error is how often something is listed where nothing is memorised, power the
    share of the memorised images that are listed.
    """
    rng = np.random.default_rng(seed)
    pairs = [listed(of, memorised, rng) for of in q]
    is_true, p = np.array(pairs, dtype=float).T
    return Estimate(is_true, is_true, is_true, p)


def lists_of_pairs() -> Iterator[Case]:
    """Lists of a pair: conformal p-values and Benjamini and Hochberg's q."""

    def draw(
        of: Distribution,
        sizes: tuple[int, int],
        rng: Generator,
        count: int,
        effect: float,
    ):
        candidates, external = (of(rng, (n, count)) for n in sizes)
        memorised = (np.arange(sizes[0]) < sizes[0] // 5) & (effect > 0)
        return candidates + effect * memorised[:, None], external, memorised

    def estimate(
        in_groups: bool,
        candidates: Array,
        external: Array,
        memorised: Array,
        n_resamples: int,
        seed: int,
    ) -> Estimate:
        groups = np.arange(len(external)) // 4 if in_groups else None
        q = [
            q_values(conformal_p(one, other, groups))
            for one, other in zip(candidates.T, external.T, strict=True)
        ]
        return of_lists(q, memorised, seed)

    for sizes in ((200, 100), (800, 180), (48, 480), (20, 400)):
        for of in (normal, lognormal, t3, ties, outliers, clusters, duplicates):
            yield Case(
                "conformal_p + q_values",
                of.__name__ + (", in groups" if of is clusters else ""),
                sizes,
                partial(draw, of, sizes),
                partial(estimate, of is clusters),
                lambda effect: 1.0,
                5.0,
            )


def two_variances(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Runs differ three times as much in one image in ten."""
    wide = np.where(rng.random((1, *shape[1:])) < 0.1, 3, 1)
    return rng.standard_normal(shape) * wide / np.sqrt(1.8)


def images_over_runs() -> Iterator[Case]:
    """Images over runs: moderated intervals, lists, and the most memorised images."""
    n_images = 100

    def draw(of: Distribution, k: int, rng: Generator, count: int, effect: float):
        if of is clusters:
            # Neighbours have the same role.
            x = clusters(rng, (n_images, k * count)).reshape(n_images, k, count)
            signs = rng.choice([-1, 1], (n_images // 4, k, count)).repeat(4, axis=0)
            x = (x * signs).swapaxes(0, 1)
        else:
            x = of(rng, (k, n_images, count)) * rng.choice(
                [-1, 1], (k, n_images, count)
            )
        x[rng.random(x.shape) < 0.1] = np.nan
        memorised = (np.arange(n_images) < n_images // 5) & (effect > 0)
        return x + effect * memorised[:, None], memorised

    def estimate_list(x: Array, memorised: Array, n_resamples: int, seed: int):
        of_sets = np.moveaxis(x, 2, 0)
        q = [q_values(moderated_mean(one, seed=seed)[0].p) for one in of_sets]
        return of_lists([np.nan_to_num(of, nan=1.0) for of in q], memorised, seed)

    def estimate_image(x: Array, memorised: Array, n_resamples: int, seed: int):
        # One image of each data set, memorised if any is.
        rng, rows = np.random.default_rng(seed), []
        for one in np.moveaxis(x, 2, 0):
            mean, _ = moderated_mean(one, seed=seed)
            scored = ~np.isnan(mean.low) & (memorised | ~memorised.any())
            image = rng.choice(np.flatnonzero(scored))
            rows.append([of[image] for of in (mean.value, mean.low, mean.high, mean.p)])
        return Estimate(*np.array(rows).T)

    for of in (normal, two_variances, lognormal, t3, clusters):
        for k in (3, 6, 10):
            yield Case(
                "moderated_mean",
                of.__name__,
                (k,),
                partial(draw, of, k),
                estimate_image,
                lambda effect: effect,
                4 / np.sqrt(k),
            )
            yield Case(
                "moderated_mean + q_values",
                of.__name__,
                (k,),
                partial(draw, of, k),
                estimate_list,
                lambda effect: 1.0,
                6 / np.sqrt(k),
            )

    def draw_top(of: Distribution, k: int, rng: Generator, count: int, effect: float):
        return (draw(of, k, rng, count, 0.0)[0] + effect,)

    def estimate_top(x: Array, n_resamples: int, seed: int) -> Estimate:
        tops = [top_scores(one) for one in np.moveaxis(x, 2, 0)]
        return cross_fitted_mean(np.stack(tops, axis=1))

    for of, k in [(of, k) for of in (normal, lognormal, t3) for k in (3, 6, 10)]:
        yield Case(
            "top_scores + cross_fitted_mean",
            of.__name__,
            (k,),
            partial(draw_top, of, k),
            estimate_top,
            lambda effect: effect,
            0.5,
        )


STATISTICS: tuple[Callable[[], Iterator[Case]], ...] = (
    one_mean,
    student,
    trials,
    prunings,
    runs,
    contrasts,
    offset_contrasts,
    gaps,
    many_layers,
    shares,
    unit_gaps,
    attacks,
    attacks_of_layers,
    correlations,
    overlaps,
    accuracies,
    lists_of_pairs,
    images_over_runs,
)


# The simulation.


def simulate(
    case: Case, repetitions: int, n_resamples: int = 499, seed: int = 0
) -> dict[str, Any]:
    """Return the row of a case."""
    effects = {"null": 0.0, "planted": case.effect}
    seen = {
        name: _outcomes(case, effect, repetitions, n_resamples, seed)
        for name, effect in effects.items()
    }
    coverage, no_interval = _share(seen["planted"]["covers"])
    coverage_null, _ = _share(seen["null"]["covers"])
    type_1, _ = _share(seen["null"]["rejects"])
    power, _ = _share(seen["planted"]["rejects"])
    return {
        "statistic": case.statistic,
        "scenario": case.scenario,
        "n": case.sizes,
        "nominal": NOMINAL,
        "coverage": coverage,
        "coverage_error": _error(coverage, repetitions * (1 - no_interval)),
        "coverage_null": coverage_null,
        "no_interval": no_interval,
        "type_1": type_1,
        "type_1_error": _error(type_1, repetitions),
        "effect": case.effect,
        "power": power,
        "disagree": max(_share(of["disagrees"])[0] for of in seen.values()),
        "repetitions": repetitions,
    }


def _outcomes(
    case: Case, effect: float, repetitions: int, n_resamples: int, seed: int
) -> dict[str, Array]:
    """Whether intervals cover, tests reject, and the two disagree; NaN if not given."""
    key = zlib.crc32(f"{case.name}, {effect}".encode())
    rng = np.random.default_rng([seed, key])
    truth, null = case.truth(effect), case.truth(0.0)
    covers, rejects, disagrees = [], [], []
    for start in range(0, repetitions, BATCH):
        data = case.draw(rng, min(BATCH, repetitions - start), effect)
        estimate = case.estimate(
            *data, n_resamples=n_resamples, seed=int(rng.integers(1 << 31))
        )
        inside = (estimate.low <= truth + 1e-12) & (truth - 1e-12 <= estimate.high)
        defined = ~np.isnan(estimate.low) & ~np.isnan(estimate.high)
        rejected = np.full(len(inside), np.nan)
        if estimate.p is not None:
            rejected = np.where(estimate.p <= 1 - NOMINAL + 1e-12, 1.0, 0.0)
        excluded = (estimate.low > null + 1e-12) | (null - 1e-12 > estimate.high)
        both = defined & ~np.isnan(rejected)
        covers.append(np.where(defined, inside, np.nan))
        rejects.append(rejected)
        disagrees.append(np.where(both, rejected != excluded, np.nan))
    outcomes = {"covers": covers, "rejects": rejects, "disagrees": disagrees}
    return {name: np.concatenate(of) for name, of in outcomes.items()}


def _share(outcomes: Array) -> tuple[float, float]:
    """The share of the outcomes that are true, and the share that are undefined."""
    defined = outcomes[~np.isnan(np.asarray(outcomes, dtype=float))]
    share = float(np.mean(defined)) if len(defined) else float("nan")
    return share, 1 - len(defined) / len(outcomes)


def _error(share: float, repetitions: float) -> float:
    return float(np.sqrt(share * (1 - share) / max(repetitions, 1)))


def all_cases() -> list[Case]:
    return [case for cases in STATISTICS for case in cases()]


def _row(number: int, repetitions: int, n_resamples: int) -> dict[str, Any]:
    # Cases contain local functions, which do not travel between processes.
    return simulate(all_cases()[number], repetitions, n_resamples)


def show(rows: pd.DataFrame) -> None:
    """Print the table; what misses the limits is red."""
    shown = ("coverage", "coverage_null", "no_interval", "type_1", "power", "disagree")
    table = Table(title="Coverage of 95% intervals, errors of tests at 5%, in percent")
    table.box = box.ASCII
    for column in ("statistic", "scenario", "n", *shown):
        table.add_column(column, justify="right" if column in shown else "left")

    def cell(name: str, share: float, error: float | None) -> str:
        if np.isnan(share):
            return "-"
        text = f"{100 * share:.1f}"
        if error is not None:
            text += f" ± {100 * error:.1f}"
        return f"[red]*{text}[/red]" if is_missed(name, share) else text

    for row in rows.to_dict("records"):
        cells = (cell(name, row[name], row.get(f"{name}_error")) for name in shown)
        table.add_row(row["statistic"], row["scenario"], row["n"], *cells)
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    console.print(
        f"* coverage below {LOWEST_COVERAGE:.0%}, or type I error above "
        f"{HIGHEST_TYPE_1:.0%}; ±: Monte Carlo standard error"
    )


def main() -> None:
    """Simulate all cases, write the CSV file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--only", help="part of the names of cases to print, without writing the page"
    )
    parser.add_argument("--resamples", type=int, default=499)
    options = parser.parse_args()
    cases = all_cases()
    only = options.only or ""
    chosen = [i for i, case in enumerate(cases) if only in case.name]
    if not chosen:
        parser.error(f"No case's name contains {options.only!r}.")
    row = partial(_row, repetitions=options.repetitions, n_resamples=options.resamples)
    with ProcessPoolExecutor(options.workers) as pool:
        rows = list(track(pool.map(row, chosen), total=len(chosen)))
    table = pd.DataFrame(rows)
    if options.only is None:
        table.to_csv(RESULTS / "calibration.csv", index=False, float_format="%.4g")
        page = RESULTS / "calibration.md"
        page.write_text(page_with(page.read_text(), table))
    show(table)


if __name__ == "__main__":
    main()
