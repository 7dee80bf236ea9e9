import numpy as np
import pytest

from lightly_memloc.functional import conformal_p, holm_p, n_detected, q_values


def test_conformal_p_by_counting():
    rng = np.random.default_rng(0)
    scores, external = rng.integers(0, 9, 30) / 8, rng.integers(0, 9, 17) / 8
    by_hand = [(1 + sum(e >= score for e in external)) / 18 for score in scores]
    assert conformal_p(scores, external).tolist() == pytest.approx(by_hand)


def test_a_group_counts_once_whatever_its_size():
    rng = np.random.default_rng(1)
    scores, external = rng.normal(size=20), rng.normal(size=12)
    groups = np.array(list("aabbbbcdddde"))
    by_hand = [
        (1 + sum(np.mean(external[groups == g] >= score) for g in "abcde")) / 6
        for score in scores
    ]
    assert conformal_p(scores, external, groups) == pytest.approx(by_hand)


def test_groups_of_copies_are_single_images():
    rng = np.random.default_rng(2)
    scores, external = rng.normal(size=20), rng.normal(size=12)
    copied = conformal_p(scores, external.repeat(4), np.arange(12).repeat(4))
    assert copied == pytest.approx(conformal_p(scores, external))


def test_p_values_that_are_not_known():
    assert np.isnan(conformal_p([0.1, 0.2], [])).all()
    with pytest.raises(ValueError, match="each of 2 external images, got 3"):
        conformal_p([0.1], [0.1, 0.2], ["a", "b", "c"])


def test_q_is_that_of_the_step_up_rule():
    """The images up to q are those that Benjamini and Hochberg's rule rejects."""
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.random(40), rng.random(10) / 100, [np.nan, np.nan]])
    q = q_values(p)
    assert np.isnan(q[-2:]).all()
    ordered = np.sort(p[:50])
    for fdr in (0.02, 0.1, 0.3, 0.9):
        passing = np.flatnonzero(ordered <= fdr * np.arange(1, 51) / 50)
        level = ordered[passing[-1]] if len(passing) else -1.0
        assert ((q <= fdr) == (p <= level)).all()
    assert np.isnan(q_values([np.nan])).all()


def normal(rng, shape):
    return rng.standard_normal(shape)


def heavy(rng, shape):
    return rng.standard_t(2, shape)


def skewed(rng, shape):
    return np.exp(rng.standard_normal(shape))


def rounded(rng, shape):
    return rng.binomial(8, 0.5, shape)


@pytest.mark.parametrize("draw", [normal, heavy, skewed, rounded])
def test_lists_of_nothing_are_rare(draw):
    rng, listed, called = np.random.default_rng(4), 0, 0
    for _ in range(400):
        q = q_values(conformal_p(draw(rng, 20), draw(rng, 400)))
        listed += (q <= 0.1).any()
        called += n_detected(q) > 0
    # 10% and 5%, and two standard errors.
    assert listed / 400 <= 0.13
    assert called / 400 <= 0.072


def clustered(rng, n_groups):
    shared = np.sqrt(0.8) * rng.standard_normal(n_groups).repeat(4)
    return shared + np.sqrt(0.2) * rng.standard_normal(4 * n_groups)


def test_lists_of_groups_control_false_discoveries():
    """Clusters of four, intraclass correlation 0.8, are wholly in one role."""
    rng, listed, false, found = np.random.default_rng(5), 0, [], []
    for _ in range(400):
        groups = np.arange(40).repeat(4)
        external, scores = clustered(rng, 40), clustered(rng, 50)
        p = conformal_p(scores, external, groups)
        listed += (q_values(p) <= 0.1).any()
        scores[:100] += 4
        hits = q_values(conformal_p(scores, external, groups)) <= 0.1
        false.append(hits[100:].sum() / max(1, hits.sum()))
        found.append(hits[:100].mean())
    assert listed / 400 <= 0.13
    assert np.mean(false) <= 0.1
    assert np.mean(found) > 0.8


def test_holm_multiplies_by_the_number_of_tests_that_are_left():
    p = [0.2, 0.001, np.nan, 0.02, 0.025]
    # Ascending: 4 times 0.001, 3 times 0.02, the same (2 times 0.025 is less), 0.2.
    expected = [0.2, 0.004, np.nan, 0.06, 0.06]
    np.testing.assert_allclose(holm_p(p), expected)
    assert holm_p([0.6, 0.7]).tolist() == [1, 1]
    assert len(holm_p([])) == 0


def test_holm_keeps_the_familywise_error():
    p = np.random.default_rng(0).uniform(size=(2000, 8))
    found = np.mean([holm_p(row).min() <= 0.05 for row in p])
    assert 0.03 < found < 0.065
