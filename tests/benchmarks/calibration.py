"""How often intervals cover the truth, and how often tests find what is not there.

    python tests/benchmarks/calibration.py [--repetitions 4000] [--workers 2]
        [--only PATTERN] [--resamples 499]

Each case draws data sets whose truth is known by construction, once without an effect
and once with a planted effect, and passes them to an estimator. One row per case shows
how often the 95% interval contains the truth (with the effect, and without) and how
often p is at most 0.05 without the effect (type I error) and with it (power). Intervals
that an estimator does not provide (NaN) are left out of the coverage and counted in
``no_interval``; a p-value that is NaN does not reject.

The estimators' default is 2000 resamples (999 for the member share). Here it is 499,
for speed: a test at 5% stays exact, percentile intervals lose 0.3% coverage.
Repetitions are computed 50 at a time, as the columns of one call; these share the
draws of the resampling, but no data.

To add an estimator, write a generator of ``Case`` and list it in ``STATISTICS``.
"""

import argparse
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
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
    alignment_gap,
    calibrated_layer_mem,
    kendall_tau,
    layer_mem,
    member_share,
    membership,
    run_scores,
    ssl_mem,
    student_mean,
    symmetric_layer_mem,
    unit_mem_gap,
    welch_t_test,
)

Array = np.ndarray
OUT = Path(__file__).parents[2] / "docs/results/calibration.csv"
NOMINAL, BATCH, POPULATION = 0.95, 50, 400_000
LOWEST_COVERAGE, HIGHEST_TYPE_1 = 0.93, 0.06


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


def one_mean() -> Iterator[Case]:
    """LayerMem: the percentile bootstrap, with Student's t-test."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return (shifted(of, rng, (n, count), effect),)

    for of, n in [(of, n) for of in SHAPES for n in (5, 10, 20, 50)] + [
        (of, n) for of in DEPENDENT for n in (20, 48)
    ]:
        yield Case(
            "layer_mem",
            of.__name__,
            (n,),
            partial(draw, of, n),
            lambda x, n_resamples, seed: layer_mem(x, n_resamples, seed),
            lambda effect: effect,
            3 / np.sqrt(n),
        )


def student() -> Iterator[Case]:
    """Means over runs or trials, and of trials that share their test images."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return (shifted(of, rng, (n, count), effect),)

    def estimate(x: Array, n_resamples: int, seed: int) -> Estimate:
        return student_mean(x)

    for of, n in [(of, n) for of in SHAPES for n in (3, 5, 10, 20)] + [(clusters, 20)]:
        yield Case(
            "student_mean",
            of.__name__,
            (n,),
            partial(draw, of, n),
            estimate,
            lambda effect: effect,
            3 / np.sqrt(n),
        )

    def draw_trials(n: int, rng: Generator, count: int, effect: float):
        # An intervention changes one answer in ten, for better or for worse: the same
        # answers in each trial, but for one in ten of them.
        test, changed = 500, 0.1
        gain = rng.random((test, count)) < (1 + effect / changed) / 2
        sign = np.where(gain, 1, -1) * (rng.random((test, count)) < changed)
        kept = rng.random((n, test, count)) < 0.9
        return ((sign * kept).mean(axis=1),)

    yield Case(
        "student_mean",
        "trials on the same 500 test images",
        (5,),
        partial(draw_trials, 5),
        estimate,
        lambda effect: 0.9 * effect,
        0.04,
    )


def runs() -> Iterator[Case]:
    """SSLMem over runs: the offsets removed, then Student's t over runs."""

    def draw(of: Distribution, k: int, rng: Generator, count: int, effect: float):
        roles = rng.permuted(np.tile(np.repeat([1, -1, 0], 20), (k, 1)), axis=1)
        offset = rng.standard_normal((k, 1, count))
        m = of(rng, (60, k * count)).reshape(60, k, count).swapaxes(0, 1)
        return roles, m + offset + roles[..., None] * effect

    def estimate(roles: Array, m: Array, n_resamples: int, seed: int) -> Estimate:
        return student_mean(run_scores(m, roles).layer_mem)

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
    """Calibrated and symmetric LayerMem, and Welch's test, of shifted scores."""

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

    def welch(first: Array, second: Array, n_resamples: int, seed: int) -> Estimate:
        unknown = Estimate.unknown(first.shape[1])
        p = welch_t_test(first, second)[1]
        return Estimate(unknown.value, unknown.low, unknown.high, p)

    estimators: dict[str, tuple[Callable[..., Estimate], float]] = {
        "calibrated": (calibrated_layer_mem, 1),
        "symmetric": (symmetric_layer_mem, 2),
        "welch_t_test": (welch, 1),
    }
    for statistic, (estimator, part) in estimators.items():
        for scenario, of, n, m, scale in CONTRASTS:
            yield Case(
                statistic,
                scenario,
                (n, m),
                partial(draw, of, n, m, scale),
                estimator,
                lambda effect, part=part: effect / part,
                3 * np.sqrt(scale**2 / n + 1 / m),
            )


def offset_contrasts() -> Iterator[Case]:
    """Calibrated LayerMem of relative SSLMem, encoders offset by a factor of e."""
    spread = 0.3
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)

    def scores(
        of: Distribution, rng: Generator, shape: tuple[int, ...], effect: float
    ) -> Array:
        difficulty = np.exp(0.5 * of(rng, shape))
        noise = np.exp(spread * rng.standard_normal(shape))
        return ssl_mem(difficulty * np.exp(-effect) / noise, difficulty * np.e)

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return scores(of, rng, (n, count), effect), scores(of, rng, (n, count), 0)

    def truth(effect: float) -> float:
        # Relative SSLMem is tanh of half the difference of the distances' logarithms.
        mean = [np.tanh((1 + e + spread * nodes) / 2) @ weights for e in (effect, 0)]
        return float((mean[0] - mean[1]) / weights.sum())

    for n in (5, 10, 20, 50):
        yield Case(
            "calibrated",
            "relative SSLMem with an offset",
            (n, n),
            partial(draw, normal, n),
            calibrated_layer_mem,
            truth,
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
        for n, m in sizes if of != "clusters" else ((20, 20), (48, 48)):
            yield Case(
                "alignment_gap",
                of,
                (n, m),
                partial(draw, of, n, m),
                alignment_gap,
                lambda effect: effect,
                min(0.8, 1.5 * spread * np.sqrt(1 / n + 1 / m)),
            )


def shares() -> Iterator[Case]:
    """Member share: images win units by their weight, members by more."""

    def draw(
        n: int,
        spread: float,
        block: int,
        rng: Generator,
        count: int,
        effect: float,
    ):
        weight = np.exp(spread * rng.standard_normal((count, 2 * n)))
        weight[:, :n] *= np.exp(effect)
        chance = weight / weight.sum(axis=1, keepdims=True)
        return (block * rng.multinomial(64 // block, chance).T,)

    def estimate(n: int, wins: Array, n_resamples: int, seed: int) -> Estimate:
        return member_share(wins, np.arange(2 * n) < n, n_resamples, seed=seed)

    def truth(n: int, draw: Callable[..., tuple[Array]], effect: float) -> float:
        (wins,) = draw(np.random.default_rng(1), 5000, effect) if effect else ([],)
        return float(np.mean(wins[:n].sum(axis=0) / 64)) if effect else 0.5

    scenarios = {
        "equal images": (0.0, 1, 0.8),
        "dependent units, blocks of 8": (0.0, 8, 1.5),
        "shared winners": (2.0, 1, 1.5),
        "few winners": (4.0, 1, 3.0),
    }
    for scenario, (spread, block, effect) in scenarios.items():
        for n in (10, 20, 50, 200):
            data = partial(draw, n, spread, block)
            yield Case(
                "member_share",
                scenario,
                (n, n),
                data,
                partial(estimate, n),
                partial(truth, n, data),
                effect,
            )


def unit_gaps() -> Iterator[Case]:
    """UnitMem gap: in each unit one member's activation is multiplied."""
    units, pairs = 32, 10

    def draw(n: int, common: float, rng: Generator, count: int, effect: float):
        shared = rng.standard_normal((2, n, 1, count)) * np.sqrt(common)
        own = rng.standard_normal((2, n, units, count)) * np.sqrt(1 - common)
        mu = np.exp(shared + own)
        mu[0, np.arange(units) % n, np.arange(units)] *= np.exp(effect)
        return (mu,)

    def estimate(mu: Array, n_resamples: int, seed: int) -> Estimate:
        # Independent images need no random order of the groups.
        groups = [x for x in np.array_split(mu, pairs, axis=1) if x.shape[1]]
        largest = np.stack([x.max(axis=1) for x in groups], axis=1)
        total = np.stack([x.sum(axis=1) for x in groups], axis=1)
        counts = np.array([[x.shape[1] for x in groups]] * 2)
        return one_by_one(partial(unit_mem_gap, counts=counts), largest, total)

    def selectivity(mu: Array) -> Array:
        largest = mu.max(axis=0)
        rest = (mu.sum(axis=0) - largest) / (len(mu) - 1)
        return ((largest - rest) / (largest + rest)).mean(axis=0)

    def truth(draw: Callable[..., tuple[Array]], effect: float) -> float:
        if not effect:
            return 0.0
        rng = np.random.default_rng(1)
        means = [
            (selectivity(mu[0]) - selectivity(mu[1])).mean()
            for (mu,) in (draw(rng, 200, effect) for _ in range(10))
        ]
        return float(np.mean(means))

    for scenario, common, effect in (
        ("independent units", 0.0, 0.7),
        ("dependent units", 0.8, 1.5),
        ("independent units, large gap", 0.0, 3.0),
    ):
        for n in (10, 50):
            data = partial(draw, n, common)
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
        for n in (10, 20, 48) if scenario != "clusters" else (20, 48):
            yield Case(
                "kendall_tau",
                scenario,
                (n,),
                partial(draw, scenario, n),
                estimate,
                partial(truth, scenario),
                min(0.8, 2.8 / np.sqrt(n)),
            )


def accuracies() -> Iterator[Case]:
    """Accuracy of 0.7 without and with the effect added; it has no test."""

    def draw(of: Distribution, n: int, rng: Generator, count: int, effect: float):
        return (of(rng, (n, count)) < stats.norm.ppf(0.7 + effect),)

    def estimate(hit: Array, n_resamples: int, seed: int) -> Estimate:
        return one_by_one(lambda x: accuracy(x, np.ones_like(x)), hit)

    for of, n in ((normal, 10), (normal, 20), (normal, 50), (clusters, 48)):
        yield Case(
            "accuracy",
            of.__name__,
            (n,),
            partial(draw, of, n),
            estimate,
            lambda effect: 0.7 + effect,
            0.25,
        )


STATISTICS: tuple[Callable[[], Iterator[Case]], ...] = (
    one_mean,
    student,
    runs,
    contrasts,
    offset_contrasts,
    gaps,
    shares,
    unit_gaps,
    attacks,
    attacks_of_layers,
    correlations,
    accuracies,
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
        "repetitions": repetitions,
    }


def _outcomes(
    case: Case, effect: float, repetitions: int, n_resamples: int, seed: int
) -> dict[str, Array]:
    """Whether each interval covers and each test rejects; NaN for what is not given."""
    key = zlib.crc32(f"{case.name}, {effect}".encode())
    rng = np.random.default_rng([seed, key])
    truth = case.truth(effect)
    covers, rejects = [], []
    for start in range(0, repetitions, BATCH):
        data = case.draw(rng, min(BATCH, repetitions - start), effect)
        estimate = case.estimate(
            *data, n_resamples=n_resamples, seed=int(rng.integers(1 << 31))
        )
        inside = (estimate.low <= truth + 1e-12) & (truth - 1e-12 <= estimate.high)
        defined = ~np.isnan(estimate.low) & ~np.isnan(estimate.high)
        covers.append(np.where(defined, inside, np.nan))
        rejects.append(
            np.full(len(inside), np.nan)
            if estimate.p is None
            else estimate.p <= 1 - NOMINAL + 1e-12
        )
    return {"covers": np.concatenate(covers), "rejects": np.concatenate(rejects)}


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
    shown = ("coverage", "coverage_null", "no_interval", "type_1", "power")
    table = Table(title="Coverage of 95% intervals, errors of tests at 5%, in percent")
    table.box = box.ASCII
    for column in ("statistic", "scenario", "n", *shown):
        table.add_column(column, justify="right" if column in shown else "left")

    def cell(name: str, share: float, error: float | None) -> str:
        if np.isnan(share):
            return "-"
        missed = (name.startswith("coverage") and share < LOWEST_COVERAGE) or (
            name == "type_1" and share > HIGHEST_TYPE_1
        )
        text = f"{100 * share:.1f}"
        if error is not None:
            text += f" ± {100 * error:.1f}"
        return f"[red]*{text}[/red]" if missed else text

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
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--resamples", type=int, default=499)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    cases = all_cases()
    chosen = [i for i, case in enumerate(cases) if options.only in case.name]
    if not chosen:
        parser.error(f"No case's name contains {options.only!r}.")
    row = partial(_row, repetitions=options.repetitions, n_resamples=options.resamples)
    with ProcessPoolExecutor(options.workers) as pool:
        rows = list(track(pool.map(row, chosen), total=len(chosen)))
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, float_format="%.4g")
    show(table)


if __name__ == "__main__":
    main()
