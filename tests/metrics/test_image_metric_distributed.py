import datetime
import pickle

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing
from torch.utils.data import DistributedSampler

from lightly_memloc.metrics import (
    AlignmentDistance,
    ClassMem,
    MemberShare,
    TopImages,
    UnitMem,
)

N_IMAGES, N_UNITS, N_CLASSES = 13, 8, 3
MEMBERS, HOLDOUT = [0, 2, 5, 7, 11, 12], [1, 3, 4, 6, 8, 9]
METRICS = {
    "unit_mem": lambda: UnitMem(N_UNITS),
    "unit_mem_median": lambda: UnitMem(N_UNITS, "median"),
    "unit_mem_of_layer": lambda: UnitMem(N_UNITS, average="mean"),
    "class_mem": lambda: ClassMem(N_UNITS, N_CLASSES),
    "alignment_distance": AlignmentDistance,
    "member_share": lambda: MemberShare(N_UNITS, MEMBERS, HOLDOUT),
    "top_images": lambda: TopImages(N_UNITS, 3),
    "top_images_of_few": lambda: TopImages(N_UNITS, N_IMAGES + 2),
}
KEEPING_ROWS = ["unit_mem_median", "alignment_distance"]
FOLDING = [
    "unit_mem",
    "unit_mem_of_layer",
    "class_mem",
    "member_share",
    "top_images",
    "top_images_of_few",
]


def activations():
    """Activations with exact sums, a dead unit and maxima tied between ranks."""
    generator = torch.Generator().manual_seed(0)
    mu = torch.randint(0, 40, (N_IMAGES, N_UNITS), generator=generator) / 16
    mu[:, 2] = 0
    mu[[5, 8], 3] = 3.0
    mu[[6, 9], 4] = 3.0
    mu[0, 5] = 3.0
    return mu


MU = activations()
TARGETS = torch.tensor([0, 1, 2, 2, 0, 0, 1, 0, 0, 2, 1, 0, 0])
VIEWS = torch.randn(N_IMAGES, 4, 10, generator=torch.Generator().manual_seed(1))


def sampled(rank, batch_size):
    images = range(N_IMAGES)
    sampler = DistributedSampler(images, num_replicas=2, rank=rank, shuffle=False)
    return torch.tensor(list(sampler)).split(batch_size)


SCENARIOS = {
    "padded": lambda rank: sampled(rank, 3),
    "padded, one batch a rank": lambda rank: sampled(rank, 7),
    "padded, one image a batch": lambda rank: sampled(rank, 1),
    "second rank idle": lambda rank: [torch.arange(13).split(3), []][rank],
    "first rank idle": lambda rank: [[], torch.arange(13).split(3)][rank],
    "uneven": lambda rank: torch.arange(13).split([9, 4])[rank].split(2),
    "padded with a folded image": lambda rank: [
        torch.arange(8).split(2),
        [torch.arange(8, 13), torch.tensor([1, 2, 4])],
    ][rank],
    "seen twice early": lambda rank: [
        [torch.arange(4), torch.arange(4, 7)],
        [torch.tensor([7, 8, 2]), torch.arange(9, 13)],
    ][rank],
}
FITTING = [name for name in SCENARIOS if name != "seen twice early"]


def update(metric, images):
    if isinstance(metric, AlignmentDistance):
        metric.update(VIEWS[images], images)
    elif isinstance(metric, ClassMem):
        metric.update(MU[images], TARGETS[images], images)
    else:
        metric.update(MU[images], images)


def values(metric):
    result = metric.compute()
    fields = result.values() if isinstance(result, dict) else [result]
    return [np.asarray(field) for field in fields]


def measure(rank, folder):
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    outcomes = {}
    for scenario, batches in SCENARIOS.items():
        for name, metric_of in METRICS.items():
            metric = metric_of()
            for images in batches(rank):
                update(metric, images)
            try:
                outcomes[scenario, name] = values(metric)
            except (ValueError, RuntimeError) as error:
                outcomes[scenario, name] = error
    for name, metric_of in METRICS.items():
        metric, computed = metric_of(), []
        for images in sampled(rank, 3):
            update(metric, images)
            try:
                computed = values(metric)
            except (ValueError, RuntimeError) as error:
                computed = error
        outcomes["computed after each batch", name] = computed
    (folder / f"{rank}.pkl").write_bytes(pickle.dumps(outcomes))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    # Copies of this process, which has imported what they need.
    multiprocessing.start_processes(measure, (folder,), 2, start_method="fork")
    return [pickle.loads((folder / f"{r}.pkl").read_bytes()) for r in range(2)]


def selectivity(largest, rest):
    return (largest - rest) / (largest + rest) if largest else 0.0


def brute_force_unit_mem(average):
    table = []
    for column in MU.double().numpy().T:
        winner = list(column).index(max(column))
        rest = average(np.delete(column, winner))
        largest = column[winner]
        value = selectivity(largest, rest)
        table.append((value, largest, rest, winner, largest == 0))
    return zip(*table, strict=True)


def brute_force_average():
    value, _, _, _, dead = brute_force_unit_mem(np.mean)
    return [np.mean(np.array(value)[~np.array(dead)])]


def brute_force_class_mem():
    table = []
    for column in MU.double().numpy().T:
        means = [column[TARGETS.numpy() == label].mean() for label in range(N_CLASSES)]
        preferred = means.index(max(means))
        rest = np.delete(means, preferred).mean()
        value = selectivity(means[preferred], rest)
        table.append((value, preferred, means[preferred] == 0))
    return zip(*table, strict=True)


def brute_force_alignment_distance():
    distances = []
    for image in VIEWS.double().numpy():
        z = [view / np.linalg.norm(view) for view in image]
        pairs = [(v, w) for v in range(4) for w in range(v + 1, 4)]
        distances.append(np.mean([np.linalg.norm(z[v] - z[w]) for v, w in pairs]))
    return range(N_IMAGES), distances


def one_process_member_share():
    metric = METRICS["member_share"]()
    update(metric, torch.arange(N_IMAGES))
    return values(metric)


def brute_force_top_images(k):
    ranked = [
        sorted(zip(-column, range(N_IMAGES), strict=True))[:k]
        for column in MU.double().numpy().T
    ]
    return (
        [[-of[rank][0] for of in ranked] for rank in range(k)],
        [[of[rank][1] for of in ranked] for rank in range(k)],
    )


EXPECTED = {
    "unit_mem": lambda: brute_force_unit_mem(np.mean),
    "unit_mem_median": lambda: brute_force_unit_mem(np.median),
    "unit_mem_of_layer": brute_force_average,
    "class_mem": brute_force_class_mem,
    "alignment_distance": brute_force_alignment_distance,
    "member_share": one_process_member_share,
    "top_images": lambda: brute_force_top_images(3),
    "top_images_of_few": lambda: brute_force_top_images(N_IMAGES),
}


def assert_fields(actual, expected):
    assert not isinstance(actual, Exception), actual
    for field, expected_field in zip(actual, expected, strict=True):
        if field.dtype.kind == "f":
            np.testing.assert_allclose(field, expected_field, rtol=1e-12)
        else:
            np.testing.assert_array_equal(field, expected_field)


@pytest.mark.parametrize("rank", range(2))
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("scenario", [*FITTING, "computed after each batch"])
def test_two_processes_measure_what_one_does(outcomes, scenario, name, rank):
    assert_fields(outcomes[rank][scenario, name], EXPECTED[name]())


@pytest.mark.parametrize("name", FOLDING)
def test_image_seen_by_two_ranks_early(outcomes, name):
    for rank in range(2):
        error = outcomes[rank]["seen twice early", name]
        assert isinstance(error, ValueError)
        assert "Image 2 was seen by two ranks" in str(error)


@pytest.mark.parametrize("name", KEEPING_ROWS)
def test_image_seen_by_two_ranks_early_where_rows_are_kept(outcomes, name):
    for rank in range(2):
        assert_fields(outcomes[rank]["seen twice early", name], EXPECTED[name]())
