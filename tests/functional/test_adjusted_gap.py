from itertools import permutations

import numpy as np
import pytest
import statsmodels.api as sm

from lightly_memloc.functional import adjusted_gap, alignment_gap

N, M, L, P = 40, 70, 3, 4


def data(seed=0, n=N, m=M, effect=0.4, n_covariates=P):
    """Log distances that covariates explain in part, covariates and labels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + m, L, n_covariates))
    member = np.arange(n + m) < n
    y = 0.5 * x.sum(axis=2) + rng.normal(size=(n + m, L)) - effect * member[:, None]
    return y, x, member


def gap(y, member, *arguments, **options):
    distances = np.exp(y)
    return adjusted_gap(distances[member], distances[~member], *arguments, **options)


def ols(y, *columns):
    return sm.OLS(y, np.column_stack(columns)).fit(cov_type="HC2")


def test_value_and_error_are_those_of_ordinary_least_squares_with_hc2():
    y, x, member = data()
    estimate = gap(y, member, x)
    for layer in range(L):
        fit = ols(y[:, layer], member, np.ones(N + M), x[:, layer])
        np.testing.assert_allclose(estimate.value[layer], np.tanh(-fit.params[0] / 2))
        np.testing.assert_allclose(estimate.error[layer], fit.bse[0] / 2)


def test_shared_covariates():
    y, x, member = data()
    shared = x[:, 0]
    estimate = gap(y, member, shared)
    for layer in range(L):
        fit = ols(y[:, layer], member, np.ones(N + M), shared)
        np.testing.assert_allclose(estimate.error[layer], fit.bse[0] / 2)


def test_each_stratum_has_an_intercept():
    y, x, member = data()
    strata = np.arange(N + M) % 5
    y = y + 0.7 * strata[:, None]
    estimate = gap(y, member, x, strata=np.array(list("abcde"))[strata])
    dummies = np.eye(5)[strata]
    for layer in range(L):
        fit = ols(y[:, layer], member, dummies, x[:, layer])
        np.testing.assert_allclose(estimate.value[layer], np.tanh(-fit.params[0] / 2))
        np.testing.assert_allclose(estimate.error[layer], fit.bse[0] / 2)


def test_without_covariates_it_is_the_gap_of_geometric_means():
    y, _, member = data()
    difference = y[~member].mean(axis=0) - y[member].mean(axis=0)
    estimate = gap(y, member)
    np.testing.assert_allclose(estimate.value, np.tanh(difference / 2))
    variances = [y[of].var(axis=0, ddof=1) / of.sum() for of in (member, ~member)]
    np.testing.assert_allclose(estimate.error, np.sqrt(sum(variances)) / 2)


def test_p_is_that_of_all_permutations_of_the_residuals():
    rng = np.random.default_rng(1)
    member, x = np.arange(7) < 3, rng.normal(size=7)
    y = x + rng.normal(size=7) - 2 * member
    reduced = np.column_stack([np.ones(7), x])
    fitted = reduced @ np.linalg.lstsq(reduced, y, rcond=None)[0]

    def statistic(values):
        fit = ols(values, member, reduced)
        return abs(fit.params[0] / fit.bse[0])

    observed = statistic(y)
    order = rng.permutation(list(permutations(range(7))))[:1500]
    expected = np.mean(
        [statistic(fitted + (y - fitted)[list(p)]) >= observed - 1e-9 for p in order]
    )
    p = gap(y, member, x[:, None], n_resamples=5000).p[0]
    assert 0.02 < expected < 0.98
    np.testing.assert_allclose(p, expected, atol=4 * np.sqrt(0.25 / 1500))


def test_p_with_groups_is_that_of_all_assignments_of_whole_groups():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(8), [1, 2, 3, 4, 1, 2, 3, 4])
    member, x = groups < 4, rng.normal(size=20)
    y = x + rng.normal(size=8)[groups] + 0.3 * rng.normal(size=20) - 0.8 * member
    reduced = np.column_stack([np.ones(20), x])

    def statistic(labels):
        design = np.column_stack([labels, reduced])
        inverse = np.linalg.inv(design.T @ design)
        slope = (inverse @ design.T @ y)[0]
        leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
        residual = (y - design @ inverse @ design.T @ y) / np.sqrt(1 - leverage)
        influence = (inverse @ design.T)[0] * residual
        by_group = np.bincount(groups, influence)
        return slope, np.sqrt((by_group**2).sum())

    slope, error = statistic(member)
    estimate = gap(y, member, x[:, None], groups=groups, n_resamples=4000)
    np.testing.assert_allclose(estimate.value, np.tanh(-slope / 2))
    np.testing.assert_allclose(estimate.error, error / 2)
    assignments = [
        np.isin(groups, of[:4]) for of in set(permutations(range(8))) if of[0] < of[1]
    ]
    distinct = {tuple(labels) for labels in assignments}
    statistics = [abs(np.divide(*statistic(np.array(labels)))) for labels in distinct]
    assert len(distinct) == 70
    expected = np.mean(np.array(statistics) >= abs(slope / error) - 1e-9)
    np.testing.assert_allclose(estimate.p, expected, atol=4 * np.sqrt(0.25 / 4000))


def test_what_covariates_explain_is_no_gap():
    _, x, member = data()
    x[member] -= 0.7
    y = 0.5 * x.sum(axis=2) + np.random.default_rng(7).normal(size=(N + M, L))
    plain, adjusted = gap(y, member), gap(y, member, x)
    assert (plain.p < 0.01).all()
    assert (np.abs(adjusted.value) < 0.4 * plain.value).all()


def test_covariates_narrow_the_interval():
    y, x, member = data()
    plain, adjusted = gap(y, member), gap(y, member, x)
    # The covariates' variance is P / 4, that of the rest 1.
    np.testing.assert_allclose(adjusted.error / plain.error, np.sqrt(1 / 2), rtol=0.2)


@pytest.mark.parametrize(
    "redundant",
    [
        lambda x: np.concatenate([x, x[..., :1] * 3 + 2], axis=2),
        lambda x: np.concatenate([x, np.full_like(x[..., :1], 7.3)], axis=2),
        lambda x: x * 1e6 + 1e3,
        lambda x: (
            x @ np.array([[1, 2, 0, 0], [0, 1, 0, 3], [5, 0, 1, 0], [0, 0, 0, 1.0]])
        ),
    ],
    ids=["repeated", "constant", "other units", "mixed"],
)
def test_the_space_of_the_covariates_decides(redundant):
    y, x, member = data()
    one, other = gap(y, member, x), gap(y, member, redundant(x))
    np.testing.assert_allclose(other.value, one.value, rtol=1e-6)
    np.testing.assert_allclose(other.error, one.error, rtol=1e-6)
    np.testing.assert_allclose(other.p, one.p, atol=2e-3)


def test_the_unit_of_distance_does_not_matter():
    y, x, member = data()
    one, other = gap(y, member, x), gap(y + 5, member, x)
    np.testing.assert_allclose(other.value, one.value)
    np.testing.assert_array_equal(other.p, one.p)


@pytest.mark.parametrize("by_groups", [False, True])
def test_the_interval_excludes_zero_exactly_if_p_is_small(by_groups):
    groups = np.arange(N + M) // 2 if by_groups else None
    for seed in range(25):
        y, x, member = data(seed, effect=0.25)
        estimate = gap(y, member, x, groups=groups, n_resamples=199)
        excludes = (estimate.low > 0) | (estimate.high < 0)
        np.testing.assert_array_equal(excludes, estimate.p <= 0.05)
        assert (estimate.p_adjusted >= estimate.p).all()


def test_equal_layers_cost_nothing():
    y, x, member = data()
    same = np.repeat(y[:, :1], 4, axis=1)
    estimate = gap(same, member, x[:, 0])
    np.testing.assert_array_equal(estimate.p_adjusted, estimate.p)


@pytest.mark.parametrize(
    ("n_covariates", "n", "m", "strata", "by_groups"),
    [
        (0, 30, 30, 1, False),
        (5, 40, 90, 4, False),
        (22, 40, 70, 1, False),
        (3, 40, 60, 1, True),
    ],
)
def test_random_splits_are_significant_in_one_of_twenty(
    n_covariates, n, m, strata, by_groups
):
    significant = []
    for seed in range(200):
        y, x, member = data(seed, n, m, effect=0, n_covariates=n_covariates)
        rng = np.random.default_rng(1000 + seed)
        groups = None
        if by_groups:
            groups = np.concatenate(
                [rng.integers(20, size=n), rng.integers(20, 50, size=m)]
            )
            y = y + 2 * rng.normal(size=50)[groups][:, None]
        options = {"groups": groups, "strata": rng.integers(strata, size=n + m)}
        estimate = gap(y[:, :1], member, x[:, :1], n_resamples=99, seed=seed, **options)
        significant.append(estimate.p[0] <= 0.05)
    # Four standard errors of a share of 5% in 200.
    assert np.mean(significant) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


def test_many_covariates_narrow_the_interval_too():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(150, 1))
    x = factor + rng.normal(size=(150, 60))
    y, member = factor + 0.3 * rng.normal(size=(150, 1)), np.arange(150) < 50
    plain, adjusted = gap(y, member), gap(y, member, x)
    assert adjusted.error[0] < 0.5 * plain.error[0]


def test_the_limit_for_many_images_agrees_with_permutations(monkeypatch):
    y, x, member = data(n=300, m=400, effect=0.1)
    y = np.concatenate([y, y[:, :1] + 0.2 * y[:, 1:2]], axis=1)
    exact = gap(y, member, x[:, 0], n_resamples=9999)
    monkeypatch.setitem(adjusted_gap.__globals__, "_LARGE", 50)
    limit = gap(y, member, x[:, 0], n_resamples=9999)
    np.testing.assert_allclose(limit.p, exact.p, atol=0.02)
    np.testing.assert_allclose(limit.p_adjusted, exact.p_adjusted, atol=0.02)
    np.testing.assert_allclose(limit.low, exact.low, atol=0.004)


def test_covariates_that_determine_membership_leave_nothing_to_estimate():
    y, x, member = data()
    x[:, 1, 0] = member
    estimate = gap(y, member, x)
    np.testing.assert_array_equal(np.isnan(estimate.value), [False, True, False])
    np.testing.assert_array_equal(np.isnan(estimate.p), [False, True, False])
    np.testing.assert_array_equal(np.isnan(estimate.p_adjusted), [False, True, False])


def test_values_that_are_explained_exactly():
    member = np.arange(12) < 6
    estimate = gap(np.where(member, 0.0, 1.0)[:, None], member)
    np.testing.assert_allclose([estimate.value, estimate.low], np.tanh([[0.5], [0.5]]))
    constant = gap(np.zeros((12, 1)), member)
    assert (constant.value[0], constant.p[0]) == (0, 1)


def test_distances_of_zero_count_as_very_small():
    distances = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    estimate = adjusted_gap(distances[:4], distances[4:])
    np.testing.assert_allclose(estimate.value, np.tanh(np.log(2e6) / 2))
    assert adjusted_gap(np.zeros((4, 1)), np.zeros((4, 1))).p[0] == 1


def test_agreement_with_the_alignment_gap_for_distances_that_vary_little():
    rng = np.random.default_rng(0)
    members, holdout = (
        1 + 0.01 * rng.normal(size=(200, 2)),
        1.1 + 0.01 * rng.normal(size=(300, 2)),
    )
    one, other = adjusted_gap(members, holdout), alignment_gap(members, holdout)
    np.testing.assert_allclose(one.value, other.value, atol=1e-4)
    np.testing.assert_allclose(one.low, other.low, atol=1e-4)


ONES = np.ones((5, 2))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((ONES, ONES[:, :1]), {}, "in as many layers"),
        ((ONES[:1], ONES), {}, "at least two members"),
        ((ONES, -ONES), {}, "at least 0"),
        ((ONES, np.full((5, 2), np.nan)), {}, "finite"),
        ((ONES, ONES, np.ones((9, 1))), {}, r"\(10, P\)"),
        ((ONES, ONES, np.ones((10, 3, 1))), {}, r"\(10, 2, P\)"),
        ((ONES, ONES, np.full((10, 1), np.inf)), {}, "finite"),
        ((ONES, ONES), {"groups": [0] * 5 + [1] * 5}, "at least two groups"),
        ((ONES, ONES), {"groups": np.arange(10) % 5}, "both sets"),
        ((ONES[:2], ONES[:2]), {"strata": list("aabb")}, None),
        ((ONES[:2], ONES[:2], np.eye(4)[:, :2]), {}, "more images than covariates"),
    ],
)
def test_refusals(arguments, options, message):
    if message is None:
        # Strata of a single set cannot be permuted, and form one together.
        assert adjusted_gap(*arguments, **options).p[0] == 1
        return
    with pytest.raises(ValueError, match=message):
        adjusted_gap(*arguments, **options)
