import numpy as np
import pytest

from lightly_memloc.functional import (
    blind_scores,
    blind_test,
    matched_images,
    matched_strata,
)


def test_sets_of_a_kind_are_significant_in_one_of_twenty():
    significant = 0
    rng = np.random.default_rng(0)
    for seed in range(30):
        x = rng.standard_t(5, size=(80, 6)) @ rng.normal(size=(6, 6))
        auc = blind_test(*blind_scores(x[:40], x[40:]), n_resamples=199, seed=seed)
        significant += auc.p <= 0.05
    # 5% are expected; more than 5 of 30 have a chance of 1 in 300.
    assert significant <= 5


def test_the_auc_of_sets_that_differ_is_that_of_the_best_direction():
    rng = np.random.default_rng(1)
    members, holdout = rng.normal(1, size=(400, 1)), rng.normal(0, size=(400, 1))
    noise = rng.normal(size=(800, 4))
    x = np.concatenate([np.concatenate([members, holdout]), noise], axis=1)
    auc = blind_test(*blind_scores(x[:400], x[400:]))
    # The chance that one of two normal values is larger is Phi(1 / sqrt(2)).
    np.testing.assert_allclose(auc.value, 0.7602, atol=0.03)
    assert auc.p < 0.001
    assert auc.low < 0.7602 < auc.high


def test_the_p_value_is_one_sided():
    low, high = np.arange(50.0), np.arange(50.0) + 30
    assert blind_test(low, high).p > 0.99
    assert blind_test(high, low).p < 0.01


def test_no_image_takes_part_in_its_own_score():
    rng = np.random.default_rng(0)
    # More features than images separate any two sets that they are fitted on.
    x = rng.normal(size=(60, 200))
    auc = blind_test(*blind_scores(x[:30], x[30:]))
    assert auc.value < 0.7


def test_groups_are_scored_by_other_groups():
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.arange(15).repeat(4), np.arange(15, 30).repeat(4)])
    x = rng.normal(size=(30, 100))[groups] + 0.01 * rng.normal(size=(120, 100))
    alone = blind_test(*blind_scores(x[:60], x[60:]))
    grouped = blind_test(*blind_scores(x[:60], x[60:], groups), groups=groups)
    assert alone.value > 0.95
    assert grouped.value < 0.75


def test_matched_images():
    rng = np.random.default_rng(0)
    members, holdout = rng.normal(0.8, size=300), rng.normal(0, size=200)
    one, other = matched_images(members, holdout)
    assert len(one) == len(other) == len(np.unique(one)) == len(np.unique(other))
    assert 100 < len(one) < 200
    spread = np.concatenate([members, holdout]).std()
    np.testing.assert_array_less(
        np.abs(np.sort(members[one]) - np.sort(holdout[other])), 0.2 * spread
    )
    assert abs(members[one].mean() - holdout[other].mean()) < 0.1


def test_no_image_is_matched_where_none_is_close():
    one, other = matched_images([5.0, 6.0, 7.0], [0.0, -1.0])
    assert len(one) == len(other) == 0


@pytest.mark.parametrize(
    ("members", "holdout", "message"),
    [
        (np.ones((9, 2)), np.ones((20, 2)), "at least ten groups in both sets, got 9"),
        (np.ones((20, 2)), np.ones((20, 3)), r"\(20, 2\) and \(20, 3\)"),
        (np.ones((20, 0)), np.ones((20, 0)), r"\(20, 0\)"),
        (np.ones(20), np.ones(20), r"\(20,\)"),
        (np.full((20, 2), np.nan), np.ones((20, 2)), "finite"),
    ],
)
def test_refusals(members, holdout, message):
    with pytest.raises(ValueError, match=message):
        blind_scores(members, holdout)


def test_strata_have_as_many_of_either_set():
    rng = np.random.default_rng(0)
    members, holdout = rng.normal(size=90), rng.normal(1, size=110)
    strata = matched_strata(members, holdout)
    first, second = strata[:90], strata[90:]
    paired = matched_images(members, holdout)
    assert np.flatnonzero(first >= 0).tolist() == paired[0].tolist()
    assert np.flatnonzero(second >= 0).tolist() == paired[1].tolist()
    sizes = [np.bincount(of[of >= 0]) for of in (first, second)]
    assert sizes[0].tolist() == sizes[1].tolist()
    assert set(sizes[0][:-1]) == {5}
    # Each stratum has close scores: those of the next one are larger.
    for scores, of in ((members, first), (holdout, second)):
        for number in range(of.max()):
            assert scores[of == number].max() <= scores[of == number + 1].min()


def test_no_strata_without_pairs():
    assert matched_strata([0.0, 0.1, 0.2], [9.0, 9.1, 9.2]).tolist() == [-1] * 6
