"""Lists of memorised images, of one pair and over runs."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.random import Generator

from lightly_memloc.functional import (
    Estimate,
    conformal_p,
    cross_fitted_mean,
    moderated_mean,
    q_values,
    top_scores,
)
from tests.benchmarks.calibration.case import (
    NOMINAL,
    Array,
    Case,
    Distribution,
    clusters,
    duplicates,
    lognormal,
    normal,
    outliers,
    t3,
    ties,
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
