"""Means over images and over runs, and contrasts of two sets of images."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
from numpy.random import Generator

from lightly_memloc.functional import (
    Estimate,
    alignment_gap,
    calibrated_layer_mem,
    difference_of_means,
    layer_mem,
    run_scores,
    ssl_mem,
    student_mean,
    symmetric_layer_mem,
    welch_t_test,
)
from tests.benchmarks.calibration.case import (
    DEPENDENT,
    SHAPES,
    Array,
    Case,
    Distribution,
    clusters,
    design,
    lognormal,
    normal,
    one_by_one,
    shifted,
    stratified,
    t3,
    two_sets,
)


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
                partial(two_sets, of, n, m, scale),
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
