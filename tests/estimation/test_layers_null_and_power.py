"""A measurement with nothing to find says so, and one with something finds it.

Representations are simulated: no training.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from lightly_memloc.functional import alignment_distance
from lightly_memloc.metrics import MemberShare
from tests.estimation.measured import from_distances
from tests.metrics.streaming import estimates_of

PAIRS = 200
SETTINGS = {"normalization": "relative", "top_k": 10, "seed": 0}


def simulated_pair(rng, images_per_role, effect=0.0, offset=1.15):
    """LayerMem of one layer, from views around each image's representation.

    g aligns every image worse than f by an offset. An effect of one standard deviation
    of SSLMem makes f align candidates, and g independent images, that much better.
    """
    roles = np.repeat(["candidate", "independent", "external"], images_per_role)
    n, views, features = len(roles), 6, 12
    center = rng.normal(size=(n, 1, features))
    spread = rng.lognormal(-2, 0.4, size=(n, 1, 1))
    distances = []
    for scale, memorised in ((1.0, "candidate"), (offset, "independent")):
        noise = rng.normal(size=(n, views, features))
        better = np.where(roles == memorised, np.exp(-effect), 1.0)[:, None, None]
        z = center + scale * better * spread * noise
        distances.append(alignment_distance(torch.from_numpy(z)).numpy()[:, None])
    images = pd.DataFrame(
        {"index": np.arange(n), "filename": np.arange(n).astype(str), "role": roles}
    )
    return from_distances(
        [("layer", "conv")], images, *distances, SETTINGS, n_resamples=400
    )


@pytest.fixture(scope="module")
def null_pairs():
    rng = np.random.default_rng(0)
    return pd.concat([simulated_pair(rng, 60).to_pandas() for _ in range(PAIRS)])


@pytest.mark.parametrize("estimator", ["calibrated", "symmetric", "alignment_gap"])
def test_an_offset_alone_is_rarely_taken_for_memorisation(null_pairs, estimator):
    rate = (null_pairs[f"{estimator}_p"] < 0.05).mean()
    assert 0.02 <= rate <= 0.09


def test_the_published_estimator_mistakes_the_offset(null_pairs):
    assert (null_pairs["layer_mem_p"] < 0.05).mean() > 0.5


@pytest.mark.parametrize("estimator", ["calibrated", "symmetric", "alignment_gap"])
def test_intervals_cover_the_truth(null_pairs, estimator):
    covered = (null_pairs[f"{estimator}_low"] <= 0) & (
        null_pairs[f"{estimator}_high"] >= 0
    )
    # 200 intervals of 95%: fewer than 90% cover once in 500 such tests.
    assert covered.mean() >= 0.90


def test_half_a_standard_deviation_is_found():
    rng = np.random.default_rng(1)
    null = simulated_pair(rng, 200).samples_to_pandas()
    # SSLMem moves by half of the change of the log distance.
    effect = 2 * 0.5 * null["layer"].std()
    found = pd.concat([simulated_pair(rng, 200, effect).to_pandas() for _ in range(20)])
    for estimator in ("calibrated", "symmetric"):
        assert (found[f"{estimator}_p"] < 0.05).all()
        assert (found[estimator] > 0).all()


def member_share(rng, images_per_role, sharing, effect=0.0):
    """Member share of 64 units that answer to the same images as far as they share."""
    n, units = 2 * images_per_role, 64
    is_member = np.arange(n) < images_per_role
    shared = rng.normal(size=(n, 4)) @ rng.normal(size=(4, units))
    own = rng.normal(size=(n, units))
    answers = np.sqrt(sharing / 4) * shared + np.sqrt(1 - sharing) * own
    answers += effect * is_member[:, None]
    metric = MemberShare(
        units, np.flatnonzero(is_member), np.flatnonzero(~is_member), seed=0
    )
    metric.update(torch.from_numpy(np.exp(answers)), torch.arange(n))
    return estimates_of(metric)


@pytest.fixture(scope="module")
def null_shares():
    rng = np.random.default_rng(2)
    return [member_share(rng, 60, sharing=0.9) for _ in range(PAIRS)]


def test_shared_winners_are_rarely_taken_for_memorisation(null_shares):
    assert np.mean([values.member_share.p[0] < 0.05 for values in null_shares]) <= 0.09
    assert np.mean([values.gap.p[0] < 0.05 for values in null_shares]) <= 0.09


def test_a_binomial_test_would_mistake_shared_winners(null_shares):
    won = [round(64 * values.member_share.value[0]) for values in null_shares]
    p = [stats.binomtest(k, 64).pvalue for k in won]
    assert np.mean(np.array(p) < 0.05) > 0.09


def test_member_share_finds_half_a_standard_deviation():
    rng = np.random.default_rng(3)
    found = [member_share(rng, 200, 0.3, effect=0.5).member_share for _ in range(20)]
    assert all(share.p[0] < 0.05 and share.value[0] > 0.5 for share in found)
