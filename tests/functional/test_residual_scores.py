import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from lightly_memloc.functional import conformal_p, residual_scores


def data(seed=0, n=60, m=150, effect=0.0, shape=(2, 3)):
    rng = np.random.default_rng(seed)
    n_layers, n_covariates = shape
    x = rng.normal(size=(n + m, n_layers, n_covariates))
    y = x.sum(axis=2) + 0.3 * rng.normal(size=(n + m, n_layers))
    y[:n] -= effect
    return np.exp(y[:n]), np.exp(y[n:]), x


def test_scores_are_standardized_residuals_of_held_out_images():
    members, holdout, x = data(m=2000)
    scores, others = residual_scores(members, holdout, x)
    for layer in range(2):
        model = LinearRegression().fit(x[60:, layer], np.log(holdout[:, layer]))
        left, held = (
            model.predict(of) - np.log(values)
            for of, values in (
                (x[:60, layer], members[:, layer]),
                (x[60:, layer], holdout[:, layer]),
            )
        )
        # The five regressions differ from the one by sampling alone.
        np.testing.assert_allclose(scores[:, layer], left / held.std(), atol=0.15)
        np.testing.assert_allclose(others[:, layer], held / held.std(), atol=0.15)


def test_without_covariates_members_are_compared_with_the_mean():
    members, holdout, _ = data(m=1000)
    scores, _ = residual_scores(members, holdout)
    y = np.log(holdout)
    np.testing.assert_allclose(
        scores, (y.mean(axis=0) - np.log(members)) / y.std(axis=0), atol=0.05
    )


def test_a_held_out_image_has_no_part_in_its_own_prediction():
    rng = np.random.default_rng(0)
    # As many covariates as images explain anything, in the images they are fitted on.
    members, holdout = (
        np.exp(rng.normal(size=(30, 1))),
        np.exp(rng.normal(size=(60, 1))),
    )
    x = rng.normal(size=(90, 60))
    scores, others = residual_scores(members, holdout, x)
    assert abs(scores.std() - others.std()) < 0.3
    assert 0.7 < scores.std() < 1.4


def test_the_effect_of_a_memorised_image_is_its_score():
    members, holdout, x = data(effect=0.9, m=1000)
    scores, others = residual_scores(members, holdout, x)
    np.testing.assert_allclose(scores.mean(axis=0), 3, atol=0.3)
    np.testing.assert_allclose(others.mean(axis=0), 0, atol=0.1)


@pytest.mark.parametrize("by_groups", [False, True])
def test_conformal_p_of_images_like_the_holdout_is_uniform(by_groups):
    shares = []
    for seed in range(60):
        members, holdout, x = data(seed)
        groups = None
        if by_groups:
            rng = np.random.default_rng(seed)
            groups = np.concatenate([np.arange(60), 60 + rng.integers(50, size=150)])
            effect = np.exp(rng.normal(size=110))[groups][:, None]
            members, holdout = members * effect[:60], holdout * effect[60:]
        scores, others = (s[:, 0] for s in residual_scores(members, holdout, x, groups))
        within = None if groups is None else groups[60:]
        shares.append(np.mean(conformal_p(scores, others, within) <= 0.1))
    error = np.std(shares) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 0.1) < 4 * error + 0.01


def test_few_groups_are_refused():
    members, holdout, x = data(m=20)
    with pytest.raises(ValueError, match="at least ten groups, got 2"):
        residual_scores(members, holdout, x, np.arange(80) // 10)
