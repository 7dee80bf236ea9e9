"""Membership inference: AUC and the true positive rate at 1% false positives."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import stats

from lightly_memloc.functional import (
    Estimate,
    membership,
)
from tests.benchmarks.calibration.case import (
    DEPENDENT,
    POPULATION,
    SHAPES,
    Array,
    Case,
    Distribution,
    clusters,
    design,
    duplicates,
    lognormal,
    normal,
    ties,
    two_sets,
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

    def population(of: Distribution, scale: float, effect: float) -> Any:
        rng, size = np.random.default_rng(1), POPULATION
        return two_sets(of, size, size, scale, rng, 1, effect)

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
        data = partial(two_sets, of, n, m, scale)
        yield Case(
            "auc", scenario, (n, m), data, auc, partial(auc_truth, of, scale), effect
        )
    # A false positive rate of 1% takes 99 non-members.
    for of in SHAPES:
        for n, m in ((50, 99), (100, 200), (50, 5000), (5000, 100)):
            truth = partial(tpr_truth, of, 1.0)
            data = partial(two_sets, of, n, m, 1.0)
            yield Case("tpr", of.__name__, (n, m), data, tpr, truth, 1.0)
    for of, n, m in ((clusters, 48, 48), (duplicates, 48, 48)):
        groups = design(of, n, m)["groups"]
        yield Case(
            "auc",
            f"{of.__name__}, with groups",
            (n, m),
            partial(two_sets, of, n, m, 1.0),
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
        groups = design(of, n, m)["groups"]
        yield Case(
            "tpr",
            f"{of.__name__}, with groups",
            (n, m),
            partial(two_sets, of, n, m, 1.0),
            partial(tpr, groups=groups),
            partial(tpr_truth, of, 1.0),
            1.0,
        )


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
        groups = design(of, n, m)["groups"] if of is clusters else None
        yield Case(
            f"{name}, p_adjusted over 12 layers",
            of.__name__ + (", with groups" if of is clusters else ""),
            (n, m),
            partial(draw, of, n, m),
            partial(estimate, name, groups),
            lambda effect: effect,
            1.0,
        )
