"""Agreement of scores, and accuracy."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.random import Generator
from scipy import stats

from lightly_memloc.functional import (
    Estimate,
    accuracy,
    kendall_tau,
    top_overlap,
)
from tests.benchmarks.calibration.case import (
    DEPENDENT,
    POPULATION,
    Array,
    Case,
    Distribution,
    clusters,
    lognormal,
    normal,
    one_by_one,
    ties,
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
