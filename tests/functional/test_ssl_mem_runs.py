import math
from functools import partial

import numpy as np
import pytest
from scipy import stats

from lightly_memloc import functional
from lightly_memloc.functional import student_mean

NAN = math.nan

# As they are: relative scores are averaged on another scale.
run_scores = partial(functional.run_scores, normalization="raw")


def mean(values):
    return math.fsum(values) / len(values)


def by_hand(m, roles):
    """Scores, offset and mean of each run and layer, image after image."""
    n_runs, n_images, n_layers = m.shape
    scores = [[[NAN] * n_layers for _ in range(n_images)] for _ in range(n_runs)]
    offset = [[NAN] * n_layers for _ in range(n_runs)]
    means = [[NAN] * n_layers for _ in range(n_runs)]
    for k in range(n_runs):
        there = [i for i in range(n_images) if not any(math.isnan(x) for x in m[k, i])]
        for layer in range(n_layers):
            candidate = [float(m[k, i, layer]) for i in there if roles[k][i] == 1]
            other = [float(m[k, i, layer]) for i in there if roles[k][i] == -1]
            external = [float(m[k, i, layer]) for i in there if roles[k][i] == 0]
            if other:
                offset[k][layer] = 0.5 * mean(candidate) + 0.5 * mean(other)
                means[k][layer] = 0.5 * mean(candidate) - 0.5 * mean(other)
            else:
                offset[k][layer] = mean(external)
                means[k][layer] = mean(candidate) - mean(external)
            for i in there:
                distance = float(m[k, i, layer]) - offset[k][layer]
                if roles[k][i]:
                    scores[k][i][layer] = distance if roles[k][i] == 1 else -distance
    return scores, offset, means


def drawn_roles(rng, n_runs, candidate, independent, external):
    roles = [1] * candidate + [-1] * independent + [0] * external
    return np.array([rng.permutation(roles) for _ in range(n_runs)])


@pytest.mark.parametrize(
    ("candidate", "independent", "external"),
    [(4, 3, 5), (5, 2, 0), (4, 0, 6), (1, 1, 0), (1, 0, 1)],
)
@pytest.mark.parametrize("missing", [False, True])
def test_scores_against_loops(candidate, independent, external, missing):
    rng = np.random.default_rng(0)
    roles = drawn_roles(rng, 4, candidate, independent, external)
    m = rng.normal(0.1, 0.3, size=(*roles.shape, 3))
    for k in range(4 if missing else 0):
        for sign in (1, -1, 0):
            spare = np.flatnonzero(roles[k] == sign)[1:]
            if len(spare):
                # A layer that is missing takes the image out of the run.
                m[k, spare[0], rng.integers(3)] = NAN
    run = run_scores(m, roles)
    scores, offset, means = by_hand(m, roles)
    np.testing.assert_allclose(run.scores, scores, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(run.offset, offset, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(run.layer_mem, means, rtol=1e-10, atol=1e-14)
    assert np.isnan(run.scores[roles == 0]).all()


def test_relative_scores_are_averaged_as_log_ratios_of_distances():
    rng = np.random.default_rng(5)
    roles = drawn_roles(rng, 3, 5, 4, 2)
    m = np.tanh(rng.normal(size=(*roles.shape, 2)))
    run, of_ratios = functional.run_scores(m, roles), by_hand(np.arctanh(m), roles)
    for found, ratio in zip(run, of_ratios, strict=True):
        np.testing.assert_allclose(found, np.tanh(ratio), rtol=1e-9)
    # Distances of f that are longer by a factor change the offset alone.
    a_f, a_g = 1 - m, 1 + m
    other = functional.run_scores((a_g - 9 * a_f) / (a_g + 9 * a_f), roles)
    np.testing.assert_allclose(other.scores, run.scores, rtol=1e-6)
    np.testing.assert_allclose(other.layer_mem, run.layer_mem, rtol=1e-6)


def test_each_run_takes_its_offset_from_the_images_that_it_has():
    m = np.array([[[0.5], [0.1], [0.2]], [[0.5], [0.1], [0.2]]])
    run = run_scores(m, [[1, -1, 0], [1, 0, 0]])
    np.testing.assert_allclose(run.offset[:, 0], [0.3, 0.15])
    np.testing.assert_allclose(run.layer_mem[:, 0], [0.2, 0.35])
    np.testing.assert_allclose(run.scores[:, :, 0], [[0.2, 0.2, NAN], [0.35, NAN, NAN]])


def test_a_known_effect_is_recovered_whatever_the_offsets():
    rng = np.random.default_rng(1)
    roles = drawn_roles(rng, 7, 6, 6, 4)
    effect = np.array([0.0, 0.03, 0.2])
    offset = rng.normal(0, 0.5, size=(7, 1, 3))
    run = run_scores(offset + roles[:, :, None] * effect, roles)
    np.testing.assert_allclose(run.offset, offset[:, 0], atol=1e-14)
    np.testing.assert_allclose(run.layer_mem, np.tile(effect, (7, 1)), atol=1e-14)
    scored = run.scores[roles != 0]
    np.testing.assert_allclose(scored, np.tile(effect, (len(scored), 1)), atol=1e-14)


@pytest.mark.parametrize("independent", [5, 0])
def test_a_constant_added_to_a_run_changes_its_offset_alone(independent):
    rng = np.random.default_rng(2)
    roles = drawn_roles(rng, 3, 5, independent, 4)
    m = rng.normal(size=(*roles.shape, 2))
    added = np.array([[0.7, -3.0], [0.0, 0.0], [-0.2, 12.0]])
    before, after = run_scores(m, roles), run_scores(m + added[:, None], roles)
    np.testing.assert_allclose(after.scores, before.scores, atol=1e-12)
    np.testing.assert_allclose(after.layer_mem, before.layer_mem, atol=1e-12)
    np.testing.assert_allclose(after.offset - before.offset, added, atol=1e-12)


def test_scores_change_sign_with_the_roles_and_with_the_encoders():
    rng = np.random.default_rng(3)
    roles = drawn_roles(rng, 3, 5, 4, 2)
    m = rng.normal(size=(*roles.shape, 2))
    run, flipped, swapped = (
        run_scores(m, roles),
        run_scores(m, -roles),
        run_scores(-m, -roles),
    )
    np.testing.assert_allclose(flipped.scores, -run.scores)
    np.testing.assert_allclose(flipped.layer_mem, -run.layer_mem)
    np.testing.assert_allclose(flipped.offset, run.offset)
    np.testing.assert_allclose(swapped.scores, run.scores)
    np.testing.assert_allclose(swapped.offset, -run.offset)


def test_sets_of_different_sizes_weigh_the_same():
    """Their mean score is no mean over images: few candidates count as much as many."""
    m = np.array([[0.9, *[0.1] * 9]])[:, :, None]
    run = run_scores(m, [[1] + [-1] * 9])
    assert run.layer_mem[0, 0] == pytest.approx(0.4)
    m[0, 5] = 1.0
    run = run_scores(m, [[1] + [-1] * 9])
    assert run.layer_mem[0, 0] == pytest.approx((0.9 - 0.2) / 2)
    assert run.offset[0, 0] == pytest.approx((0.9 + 0.2) / 2)


def test_what_is_given_stays_as_it_was():
    m, roles = np.array([[[0.5], [NAN], [0.1]]]), np.array([[1, 1, -1]])
    before = m.copy(), roles.copy()
    run_scores(m, roles)
    np.testing.assert_array_equal(m, before[0])
    np.testing.assert_array_equal(roles, before[1])


@pytest.mark.parametrize(
    ("m", "roles"),
    [
        ([[0.5, 0.1]], [[1, -1]]),
        ([[[0.5], [0.1]]], [[1, -1, 0]]),
        ([[[0.5], [0.1]]], [1, -1]),
        ([[[0.5], [0.1]]], [[1, -1], [1, -1]]),
    ],
)
def test_other_shapes_are_refused(m, roles):
    with pytest.raises(ValueError, match=r"Expected SSLMem of shape \(K, N, L\)"):
        run_scores(m, roles)


@pytest.mark.parametrize(
    ("m", "roles"),
    [
        ([0.5, 0.1, 0.2], [-1, -1, 0]),
        ([0.5, 0.1, 0.2], [0, 0, 0]),
        ([0.5, 0.1, 0.2], [1, 1, 1]),
        ([NAN, 0.1, 0.2], [1, -1, 0]),
        ([0.5, NAN, NAN], [1, -1, -1]),
        ([0.5, NAN, NAN], [1, -1, 0]),
    ],
)
def test_a_run_without_a_contrast_is_refused_by_its_number(m, roles):
    good, signs = [0.5, 0.1, 0.2], [1, -1, 0]
    with pytest.raises(ValueError, match="Run 2 lacks candidates"):
        run_scores(np.array([good, good, m])[:, :, None], [signs, signs, roles])


def test_independent_images_that_are_not_measured_leave_the_external_ones():
    run = run_scores([[[0.5], [NAN], [0.2]]], [[1, -1, 0]])
    assert run.offset.tolist() == [[0.2]]
    assert run.layer_mem[0, 0] == pytest.approx(0.3)


def simulated(rng, n_runs, effect):
    """Runs that differ in offset and effect, on images that differ in difficulty."""
    roles = drawn_roles(rng, n_runs, 8, 8, 4)
    of_run = rng.normal(0, 0.2, size=(n_runs, 1))
    memorised = effect + rng.normal(0, 0.02, size=(n_runs, 1))
    difficulty = rng.normal(0, 0.1, size=roles.shape[1])
    noise = rng.normal(0, 0.05, size=roles.shape)
    return (of_run + roles * memorised + difficulty + noise)[:, :, None], roles


def test_intervals_over_runs_cover_at_their_rate():
    rng, effect, n = np.random.default_rng(5), 0.05, 1500
    found = [
        student_mean(run_scores(*simulated(rng, 5, effect)).layer_mem) for _ in range(n)
    ]
    covered = sum(bool(f.low[0] <= effect <= f.high[0]) for f in found)
    low, high = stats.binom.interval(0.9999, n, 0.95)
    assert low <= covered <= high
    values = [f.value[0] for f in found]
    assert np.mean(values) == pytest.approx(effect, abs=4 * stats.sem(values))


def test_p_values_are_uniform_under_the_null():
    rng, n = np.random.default_rng(6), 1500
    p = [
        student_mean(run_scores(*simulated(rng, 4, 0.0)).layer_mem).p[0]
        for _ in range(n)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.001
    assert np.mean(np.less(p, 0.05)) == pytest.approx(0.05, abs=0.025)


def test_an_images_score_is_its_own_effect_over_runs():
    rng, effects = np.random.default_rng(7), np.linspace(0, 0.5, 12)
    roles = drawn_roles(rng, 400, 6, 6, 0)
    offset = rng.normal(0, 0.3, size=(400, 1))
    m = offset + roles * effects + rng.normal(0, 0.05, size=roles.shape)
    found = student_mean(run_scores(m[:, :, None], roles).scores)
    assert found.n[:, 0].tolist() == [400] * 12
    # A run's offset is known up to which images fell to which role.
    np.testing.assert_allclose(found.value[:, 0], effects, atol=0.03)
    assert found.error[:, 0].max() < 0.01
