"""A statistic in a scenario, and the distributions of its data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from lightly_memloc.functional import Estimate

Array = np.ndarray
NOMINAL, POPULATION = 0.95, 400_000


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


def two_sets(
    of: Distribution,
    n: int,
    m: int,
    scale: float,
    rng: Generator,
    count: int,
    effect: float,
) -> tuple[Array, Array]:
    """Two sets of n and m, the first with mean ``effect`` and its own scale."""
    first = shifted(of, rng, (n, count), effect / scale) * scale
    return first, of(rng, (m, count))


def one_by_one(estimator: Callable[..., Estimate], *data: Array) -> Estimate:
    """Apply an estimator of a single data set to those along the last axis."""
    rows = [estimator(*(x[..., i] for x in data)) for i in range(data[0].shape[-1])]
    value, low, high = (
        np.array([getattr(row, name) for row in rows], float).ravel()
        for name in ("value", "low", "high")
    )
    p = None if rows[0].p is None else np.array([row.p for row in rows]).ravel()
    return Estimate(value, low, high, p)


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
