import itertools

import numpy as np
import pytest
import torch

from lightly_memloc.errors import NonFiniteError
from lightly_memloc.functional import member_share
from lightly_memloc.metrics import MemberShare
from tests.functional.exact import assert_p_value, relabellings, share_as_far
from tests.metrics.streaming import (
    BATCH_SIZES,
    ORDERS,
    estimates_of,
    positions,
    state_sizes,
    stream,
)

N_UNITS = 12


def images(n_members=50, seed=0):
    """Activations with a dead unit, indices with gaps, and the members and holdout."""
    rng = np.random.default_rng(seed)
    index = rng.permutation(10 * n_members)[: 2 * n_members]
    mu = rng.gamma(2.0, size=(2 * n_members, N_UNITS))
    mu[rng.integers(n_members, size=N_UNITS), np.arange(N_UNITS)] *= 1.5
    mu[:, 7] = 0
    members, holdout = index[:n_members], index[n_members:]
    return torch.from_numpy(mu), torch.from_numpy(index), members, holdout


def winners(mu, index):
    """Index of the image that wins each live unit, the smallest of tied ones."""
    return [
        min(int(i) for i, x in zip(index, column, strict=True) if x == max(column))
        for column in mu.double().numpy().T
        if any(column)
    ]


def share(won, members):
    return sum(image in members for image in won) / len(won)


def unit_mem(column):
    winner = int(np.argmax(column))
    others = [column[i] for i in range(len(column)) if i != winner]
    rest = sum(others) / len(others)
    return (column[winner] - rest) / (column[winner] + rest) if column[winner] else 0.0


def gap(mu, index, members):
    is_member = np.isin(index, members)
    gaps = [
        unit_mem(column[is_member]) - unit_mem(column[~is_member])
        for column in mu.double().numpy().T
        if any(column)
    ]
    return sum(gaps) / len(gaps)


def assert_values(metric, mu, index, members):
    values = estimates_of(metric)
    expected = share(winners(mu, index), set(members.tolist()))
    np.testing.assert_allclose(values.member_share.value, [expected], rtol=1e-12)
    expected = gap(mu, index, members)
    np.testing.assert_allclose(values.gap.value, [expected], rtol=1e-10)
    return values


def test_counts_against_brute_force():
    mu, index, members, holdout = images(n_members=23)
    sizes = [5, 4, 3]
    unseen = [members[0], holdout[3], holdout[4]]
    seen = torch.from_numpy(~np.isin(index, unseen))
    metric = MemberShare(sizes, members, holdout)
    counts = stream(metric, mu[seen], index[seen]).compute()

    assert sorted(counts["image"].tolist()) == sorted(index[seen].tolist())
    assert counts["member"].tolist() == [i in members for i in counts["image"]]
    by_layer = [
        winners(columns, index[seen].numpy())
        for columns in mu[seen].split(sizes, dim=1)
    ]
    for image, wins in zip(counts["image"].tolist(), counts["wins"], strict=True):
        assert wins.tolist() == [won.count(image) for won in by_layer]

    row_of = dict(zip(index.tolist(), mu.numpy(), strict=True))
    for role, of_role in enumerate((metric.mix[:23], metric.mix[23:])):
        for group in range(10):
            rows = [row_of[i] for i in of_role[group::10] if i not in unseen]
            assert counts["count"][role, group] == len(rows)
            np.testing.assert_array_equal(
                counts["largest"][role, group], np.max(rows, axis=0)
            )
            np.testing.assert_allclose(
                counts["total"][role, group], np.sum(rows, axis=0), rtol=1e-12
            )


@pytest.mark.parametrize("n_members", [3, 10, 11, 50])
@pytest.mark.parametrize("seed", range(2))
def test_brute_force(n_members, seed):
    mu, index, members, holdout = images(n_members, seed)
    metric = MemberShare(N_UNITS, members, holdout, seed=seed)
    assert_values(stream(metric, mu, index), mu, index, members)


def test_layers_side_by_side():
    mu, index, members, holdout = images()
    sizes = [3, 4, 1, 4]
    together = estimates_of(stream(MemberShare(sizes, members, holdout), mu, index))
    for layer, columns in enumerate(mu.split(sizes, dim=1)):
        alone = MemberShare(sizes[layer], members, holdout)
        expected = estimates_of(stream(alone, columns, index))
        for estimate, one in zip(together, expected, strict=True):
            for name in ("value", "low", "high", "p"):
                field, number = getattr(estimate, name), getattr(one, name)
                np.testing.assert_allclose(field[layer], number[0], rtol=1e-12)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("order", ORDERS)
def test_neither_batches_nor_order_matter(batch_size, order):
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    stream(metric, mu, index, batch_size=batch_size, order=order)
    values = assert_values(metric, mu, index, members)
    whole = MemberShare(N_UNITS, members, holdout)
    whole.update(mu, index)
    for estimate, expected in zip(values, estimates_of(whole), strict=True):
        np.testing.assert_allclose(list(estimate), list(expected), rtol=1e-12)


def test_p_values_against_every_relabelling():
    mu, index, members, holdout = images(n_members=5)
    metric = MemberShare(N_UNITS, members, holdout)
    values = estimates_of(stream(metric, mu, index))

    won, is_member = winners(mu, index), np.isin(index, members)
    shares = [
        share(won, set(index.numpy()[labels].tolist())) - 0.5
        for labels in relabellings(is_member)
    ]
    value = share(won, set(members.tolist())) - 0.5
    assert_p_value(values.member_share.p[0], share_as_far(shares, value), 2000)

    pairs = list(zip(metric.mix[:5], metric.mix[5:], strict=True))
    gaps = [
        gap(mu, index, np.array([pair[s] for pair, s in zip(pairs, swap, strict=True)]))
        for swap in itertools.product(range(2), repeat=5)
    ]
    exact = share_as_far(gaps, gap(mu, index, members))
    assert values.gap.p.tolist() == [exact]


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_images_seen_again_count_once(batch_size):
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    for batch in positions(100, "shuffled").split(batch_size):
        again = torch.cat([batch, batch[:3]])
        metric.update(mu[again], index[again])
        metric.update(mu[batch[:2]], index[batch[:2]])
    stream(metric, mu, index, batch_size=13)
    assert_values(metric, mu, index, members)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_of_tied_images_the_smallest_index_wins(swapped, batch_size):
    mu = torch.tensor([[2.0, 1.0], [0.0, 3.0], [2.0, 1.0], [1.0, 3.0]])
    members, holdout = np.array([0, 3]), np.array([1, 2])
    if swapped:
        members, holdout = holdout, members
    metric = MemberShare(2, members, holdout)
    stream(metric, mu, torch.arange(4), batch_size=batch_size)
    assert estimates_of(metric).member_share.value.tolist() == [0.5]


def test_ties_favour_neither_role():
    shares = []
    for members, holdout in (range(2), range(2, 4)), (range(2, 4), range(2)):
        metric = MemberShare(1, list(members), list(holdout))
        metric.update(torch.ones(4, 1), torch.arange(4))
        shares.append(estimates_of(metric).member_share.value[0])
    assert shares == [1, 0]


def test_images_outside_the_mix_are_passed_over():
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    outside = torch.tensor([5000, 6000, 7000])
    for batch in torch.arange(100).split(9):
        metric.update(
            torch.cat([torch.full((3, N_UNITS), torch.nan), mu[batch]]),
            torch.cat([outside, index[batch]]),
        )
    assert_values(metric, mu, index, members)


def test_batch_outside_the_mix_is_passed_over():
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    metric.update(torch.ones(3, N_UNITS), torch.tensor([5000, 6000, 7000]))
    stream(metric, mu, index)
    metric.update(torch.ones(3, N_UNITS), torch.tensor([5000, 6000, 7000]))
    assert_values(metric, mu, index, members)


@pytest.mark.parametrize("n_members", [40, 9])
def test_images_never_seen_do_not_count(n_members):
    mu, index, members, holdout = images(n_members)
    seen = torch.ones(len(index), dtype=torch.bool)
    seen[[2, n_members + 3]] = False
    mu, index = mu[seen], index[seen]
    metric = stream(MemberShare(N_UNITS, members, holdout), mu, index)
    values = assert_values(metric, mu, index, members)
    assert all(np.isfinite(field).all() for estimate in values for field in estimate)


def test_chance_level_is_that_of_the_images_seen():
    mu, index, members, holdout = images(n_members=6)
    mu, index = mu[[0, 1, *range(6, 12)]], index[[0, 1, *range(6, 12)]]
    metric = stream(MemberShare(N_UNITS, members, holdout), mu, index)
    won, is_member = winners(mu, index), np.isin(index, members)
    shares = [
        share(won, set(index.numpy()[labels].tolist())) - 2 / 8
        for labels in relabellings(is_member)
    ]
    exact = share_as_far(shares, share(won, set(members.tolist())) - 2 / 8)
    assert_p_value(estimates_of(metric).member_share.p[0], exact, 2000)


def test_units_of_negative_activations_are_alive():
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    assert_values(stream(metric, -1 - mu, index), -1 - mu, index, members)


def test_all_units_dead():
    _, index, members, holdout = images()
    metric = stream(MemberShare(2, members, holdout), torch.zeros(100, 2), index)
    for estimate in estimates_of(metric):
        assert np.isnan(list(estimate)).all()


def test_no_image_seen():
    metric = MemberShare(2, [0, 1], [2, 3])
    with pytest.warns(UserWarning, match="before the"):
        values = estimates_of(metric)
    for estimate in values:
        assert np.isnan(list(estimate)).all()


def test_one_unit():
    metric = MemberShare(1, [3, 8], [5, 9])
    metric.update(
        torch.tensor([[1.0], [6.0], [2.0], [3.0]]), torch.tensor([3, 8, 5, 9])
    )
    values = estimates_of(metric)
    assert values.member_share.value.tolist() == [1.0]
    np.testing.assert_allclose(values.gap.value, [5 / 7 - 1 / 5], rtol=1e-12)


def test_compute_in_between_and_reset():
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    half = torch.cat([torch.arange(45), torch.arange(50, 95)])
    stream(metric, mu[half], index[half])
    assert_values(metric, mu[half], index[half], members)
    assert_values(stream(metric, mu, index), mu, index, members)
    metric.reset()
    assert_values(stream(metric, mu[half], index[half]), mu[half], index[half], members)


def test_state():
    sizes = []
    for n_members in (70, 700):
        mu, index, members, holdout = images(n_members)
        metric = stream(MemberShare(N_UNITS, members, holdout), mu, index)
        sizes.append(state_sizes(metric)["other"])
        assert state_sizes(metric)["index"] <= 2 * n_members + 2 * 7
    assert sizes == [(2 * 20 + 1 + 7) * N_UNITS + 20] * 2


def test_the_seed_decides():
    mu, index, members, holdout = images()
    values = [
        np.concatenate([field for estimate in estimates for field in estimate])
        for estimates in (
            estimates_of(
                stream(MemberShare(N_UNITS, members, holdout, seed), mu, index), seed
            )
            for seed in (3, 3, 4)
        )
    ]
    np.testing.assert_array_equal(values[0], values[1])
    assert values[0][0] == values[2][0]
    assert (values[0] != values[2]).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_decides_what_is_resampled(seed):
    """One unit for each of three members: neither order nor groups matter."""
    metric = MemberShare(3, [0, 1, 2], [3, 4, 5], seed=seed)
    metric.update(torch.eye(6)[:, :3], torch.arange(6))
    is_member = np.arange(6) < 3
    expected, other = (
        member_share(1.0 * is_member, is_member, seed=s) for s in (seed, 0)
    )
    assert list(estimates_of(metric, seed).member_share) == list(expected)
    assert expected.p != other.p


def test_the_seed_decides_which_images_are_grouped():
    mu, index, members, holdout = images()
    intervals = [
        estimates_of(
            stream(MemberShare(N_UNITS, members, holdout, seed=seed), mu, index), seed
        ).gap.high[0]
        for seed in range(3)
    ]
    assert len(set(intervals)) == 3


def test_clusters_are_dealt_to_groups_as_a_whole():
    rng = np.random.default_rng(0)
    members, holdout = np.arange(40), np.arange(40, 80)
    sizes = [1, 2, 3, 4, 5, 6, 7, 6, 3, 2, 1]
    of_side = np.repeat(np.arange(len(sizes)), sizes)
    names = np.concatenate([rng.permutation(of_side), rng.permutation(of_side)])
    clusters = {i: (i >= 40, int(name)) for i, name in enumerate(names)}
    metric = MemberShare(2, members, holdout, clusters=clusters)
    for cluster in set(clusters.values()):
        together = {metric.group_of[i] for i in clusters if clusters[i] == cluster}
        assert len(together) == 1
    # The eleventh cluster joins the other one of a single image.
    counts = np.bincount(list(metric.group_of.values()), minlength=20)
    assert sorted(counts[:10]) == sorted(counts[10:]) == [2, 2, 2, 3, 3, 4, 5, 6, 6, 7]


def test_there_are_no_more_groups_than_clusters():
    clusters = {i: i // 4 for i in range(32)}
    metric = MemberShare(2, range(16), range(16, 32), clusters=clusters)
    assert metric.num_groups == 2 * 4


def test_not_a_number_is_refused():
    mu, index, members, holdout = images()
    metric = MemberShare(N_UNITS, members, holdout)
    mu[6, 2] = torch.nan
    with pytest.raises(NonFiniteError, match=rf"Image {index[6]} "):
        metric.update(mu, index)


@pytest.mark.parametrize(
    ("members", "holdout"), [([0, 1], [2]), ([0, 1], [1, 2]), ([], [1])]
)
def test_unbalanced_or_overlapping_mix(members, holdout):
    with pytest.raises(ValueError, match="as many members"):
        MemberShare(2, members, holdout)
