"""How often intervals cover the truth, and how often tests find what is not there."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.benchmarks.calibration.agreement import accuracies, correlations, overlaps
from tests.benchmarks.calibration.attacks import attacks, attacks_of_layers
from tests.benchmarks.calibration.case import NOMINAL, Array, Case
from tests.benchmarks.calibration.interventions import prunings, trials
from tests.benchmarks.calibration.lists import images_over_runs, lists_of_pairs
from tests.benchmarks.calibration.means import (
    contrasts,
    gaps,
    many_layers,
    offset_contrasts,
    one_mean,
    runs,
    student,
)
from tests.benchmarks.calibration.units import shares, unit_gaps

BATCH = 50

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


def row_of(number: int, repetitions: int, n_resamples: int) -> dict[str, Any]:
    # Cases contain local functions, which do not travel between processes.
    return simulate(all_cases()[number], repetitions, n_resamples)
