"""How units prefer members: member share and UnitMem gap."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.random import Generator

from lightly_memloc.functional import (
    Estimate,
    member_share,
    unit_mem_gap,
)
from tests.benchmarks.calibration.case import (
    Array,
    Case,
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
