import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from lightly_memloc import load_result
from lightly_memloc.estimation import Readings, estimate_layer_mem, infer_membership
from lightly_memloc.estimation.covariates import Covariates
from lightly_memloc.functional import adjusted_gap, residual_scores
from lightly_memloc.report import report_of

N, M, L = 40, 120, 3


def readings(effect=0.8, with_reference=False, shift=0.0):
    """Distances that a covariate explains in part; all members are memorised alike."""
    rng = np.random.default_rng(0)
    n = N + M
    is_member = np.arange(n) < N
    difficulty = rng.normal(size=n) + shift * is_member
    untrained = difficulty[:, None] + 0.3 * rng.normal(size=(n, L))
    log_f = difficulty[:, None] + 0.3 * rng.normal(size=(n, L))
    log_f -= effect * is_member[:, None] * [0, 0, 1]
    images = pd.DataFrame(
        {
            "index": range(n),
            "filename": [f"{i}.png" for i in range(n)],
            "role": np.where(is_member, "candidate", "external"),
        }
    )
    shared = pd.DataFrame(
        {
            "pixels:mean": difficulty + rng.normal(size=n),
            "class": rng.integers(3, size=n),
        }
    )
    distances = {"f": np.exp(log_f), "untrained_1": np.exp(untrained)}
    if with_reference:
        distances["g"] = np.exp(difficulty[:, None] + 0.3 * rng.normal(size=(n, L)))
    layers = [("one", "conv"), ("two", "conv"), ("three", "conv")]
    return Readings(images, layers, distances, covariates=shared)


def estimate(of, reference=False):
    settings = {"normalization": "relative", "top_k": 5, "seed": 0}
    return estimate_layer_mem(of, settings | {"reference": reference}, n_resamples=199)


def expected_covariates(of):
    classes = of.covariates["class"].to_numpy()
    return np.stack(
        [
            np.column_stack(
                [
                    of.covariates["pixels:mean"],
                    classes == 1,
                    classes == 2,
                    *(
                        np.log(values[:, layer])
                        for name, values in of.distances.items()
                        if name != "f"
                    ),
                ]
            )
            for layer in range(L)
        ],
        axis=1,
    )


@pytest.mark.parametrize("with_reference", [False, True])
def test_the_gap_is_adjusted_for_all_covariates(with_reference, tmp_path):
    of = readings(with_reference=with_reference)
    result = estimate(of, with_reference)
    f = of.distances["f"]
    expected = adjusted_gap(f[:N], f[N:], expected_covariates(of), n_resamples=199)
    layers = result.to_pandas()
    np.testing.assert_allclose(layers["adjusted_gap"], expected.value)
    np.testing.assert_allclose(layers["adjusted_gap_low"], expected.low)
    np.testing.assert_allclose(layers["adjusted_gap_p"], expected.p)
    np.testing.assert_allclose(layers["adjusted_gap_p_adjusted"], expected.p_adjusted)
    result.save(tmp_path)
    again = Covariates.of_result(load_result(tmp_path))
    rows = np.arange(N + M)
    np.testing.assert_allclose(
        np.sort(again.by_layer(rows), axis=2), np.sort(expected_covariates(of), axis=2)
    )


def test_the_control_compares_two_halves_of_the_external_images():
    of = readings()
    control = estimate(of).control_to_pandas()
    halves = np.array_split(np.random.default_rng(0).permutation(M), 2)
    first, second = (N + np.sort(half) for half in halves)
    f, covariates = of.distances["f"], expected_covariates(of)
    expected = adjusted_gap(
        f[first],
        f[second],
        covariates[np.concatenate([first, second])],
        n_resamples=199,
    )
    np.testing.assert_allclose(control["adjusted_gap"], expected.value)


def test_members_are_scored_by_their_adjusted_alignment():
    of = readings()
    found = infer_membership(estimate(of))
    f = of.distances["f"]
    members, holdout = residual_scores(f[:N], f[N:], expected_covariates(of))
    table = found.to_pandas()
    assert table["score"].tolist() == ["alignment"] * L + ["adjusted_alignment"] * L
    for layer in range(L):
        pooled = rankdata(np.concatenate([members[:, layer], holdout[:, layer]]))
        auc = (pooled[:N].mean() - (N + 1) / 2) / M
        assert table["auc"][L + layer] == pytest.approx(auc)
    # One of three layers is their last third.
    samples = found.to_pandas("samples").set_index("index").sort_index()
    np.testing.assert_allclose(samples["score"], members[:, -1])
    as_high = (holdout[:, -1] >= members[:, -1, None]).sum(axis=1)
    np.testing.assert_allclose(samples["p"], (1 + as_high) / (1 + M))
    assert found.to_pandas("samples")["score"].is_monotonic_decreasing
    assert found.settings["overall"]["auc"] == pytest.approx(table["auc"].iloc[-1])
    assert "detected at a false discovery rate of 10%" in report_of(found).words()


def test_adjusting_separates_members_better():
    table = infer_membership(estimate(readings())).to_pandas().set_index("score")
    plain, adjusted = (
        table.loc[score, "auc"].iloc[-1]
        for score in ("alignment", "adjusted_alignment")
    )
    assert adjusted > 0.9 > plain


def test_sets_that_differ_in_their_covariates_differ_in_kind():
    result = estimate(readings(effect=0, shift=1.5))
    assert result.settings["blind"]["auc"] > 0.7
    assert result.differs_in_kind
    assert "nothing can be concluded" in report_of(result).words()


def test_memorisation_itself_is_no_difference_in_kind():
    result = estimate(readings(effect=2))
    assert not result.differs_in_kind
    assert "The encoder memorised its candidates: the adjusted gap" in (
        report_of(result).words()
    )


def test_results_without_covariates_have_no_adjusted_scores():
    of = readings()
    plain = Readings(of.images, of.layers, {"f": of.distances["f"]})
    result = estimate(plain)
    assert result.settings["blind"] is None
    assert not result.has("adjusted_gap")
    found = infer_membership(result)
    assert set(found.to_pandas()["score"]) == {"alignment"}
    assert "samples" not in found.tables
