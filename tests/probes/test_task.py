import numpy as np
import pytest
import torch
from lightly.transforms import SimCLRTransform
from torch.utils.data import ConcatDataset, Subset

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import Digits, Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.probes import ProbeTask, knn_probe, measure_probes
from tests.probes.pixels import PLAIN, Pixels


def test_a_view_of_a_multi_view_transform(digits):
    task = ProbeTask(digits, range(60, 68), range(4), SimCLRTransform(input_size=8))
    images, targets = next(iter(task.loader(task.test)))
    assert images.shape == (4, 3, 8, 8)
    assert targets.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (range(10, 20), range(5, 12), "Image 10 and 1 more are both training and test"),
        ([], range(5), "no images to train a probe on"),
        (range(5), [], "no images to test a probe on"),
        ([0, 10], [1], "labelled images of at least two"),
    ],
)
def test_tasks_that_say_nothing(digits, train, test, message):
    with pytest.raises(MemorizationError, match=message):
        ProbeTask(digits, train, test, PLAIN)


def test_the_task_of_a_study_tests_on_what_no_encoder_was_trained_on(digits):
    split = MemorizationSplit(
        len(digits), shared=[0, 7], candidate=[1, 5], independent=[4], external=[2, 9]
    )
    study = Study(digits, PLAIN, split, plain_transform=PLAIN)
    task = ProbeTask.of_study(study, batch_size=3)
    assert task.train.tolist() == [0, 1, 4, 5, 7]
    assert task.test.tolist() == [2, 9]
    assert (task.transform, task.batch_size) == (PLAIN, 3)
    with pytest.raises(MemorizationError, match="plain_transform"):
        ProbeTask.of_study(Study(digits, PLAIN, split))


def test_targets_are_the_data_sets_even_where_items_have_none(digits):
    class Bare:
        targets = digits.targets

        def __len__(self):
            return len(digits)

        def __getitem__(self, index):
            return digits[index][0]

    tasks = [
        ProbeTask(of, range(100, 180), range(40), PLAIN, batch_size=16)
        for of in (Bare(), digits)
    ]
    for ours, expected in zip(*(t.loader(t.test) for t in tasks), strict=True):
        assert torch.equal(ours[1], expected[1])
    first, second = (knn_probe(Pixels(), task) for task in tasks)
    assert list(first) == list(second)


def test_a_fifth_of_each_class_of_a_data_set_tests(digits):
    whole = Subset(digits, range(400))
    task = ProbeTask.of_dataset(whole, PLAIN, seed=3, batch_size=16)
    assert sorted([*task.train, *task.test]) == list(range(400))
    counts = np.bincount([digits[i][1] for i in range(400)])
    held_out = np.bincount(task.test_targets, minlength=10)
    assert (np.abs(held_out - counts / 5) < 1).all()
    again, other = (ProbeTask.of_dataset(whole, PLAIN, seed) for seed in (3, 4))
    assert again.test.tolist() == task.test.tolist() != other.test.tolist()
    assert task.batch_size == 16


def test_a_class_of_one_image_cannot_be_divided(digits):
    with pytest.raises(MemorizationError, match="fifth of each class"):
        ProbeTask.of_dataset(Subset(digits, [0, 1, 10, 11, 20]), PLAIN)


def test_a_data_set_without_classes_cannot_be_divided():
    with pytest.raises(MemorizationError, match="labelled images of at least two"):
        ProbeTask.of_dataset([Digits()[i][0] for i in range(8)], PLAIN)


def test_images_without_classes():
    images = [Digits()[i][0] for i in range(8)]
    with pytest.raises(MemorizationError, match="labelled images of at least two"):
        ProbeTask(images, range(4), range(4, 8), PLAIN)


def test_a_subset_keeps_its_own_numbers(digits):
    part = ProbeTask(Subset(digits, range(50, 90)), range(20), range(20, 40), PLAIN)
    whole = ProbeTask(digits, range(50, 70), range(70, 90), PLAIN)
    for name in ("logistic", "knn"):
        one, other = (
            measure_probes({"f": Pixels()}, task, [name]).to_pandas()
            for task in (part, whole)
        )
        assert one.equals(other)


def test_classes_are_counted_up_to_the_largest(digits):
    indices = [i for i in range(400) if digits.targets[i] in (2, 7)]
    task = ProbeTask(digits, indices[:40], indices[40:], PLAIN)
    assert task.num_classes == 10
    ours = ProbeTask(Subset(digits, indices), range(40), range(40, 60), PLAIN)
    assert ours.num_classes == 8
    assert set(ours.train_targets) == set(ours.test_targets) == {2, 7}
    assert knn_probe(Pixels(), ours).value > 0.9


def test_the_first_of_several_views(digits):
    def several(image):
        return [PLAIN(image), 1 - PLAIN(image)]

    task = ProbeTask(digits, range(60, 68), range(4), several)
    images, _ = next(iter(task.loader(task.test)))
    assert torch.equal(images, torch.stack([PLAIN(digits[i][0]) for i in range(4)]))


def test_a_task_of_a_data_set_has_its_loading_options(digits):
    task = ProbeTask.of_dataset(digits, PLAIN, batch_size=17, num_workers=1)
    loaders = [task.loader(task.test), task.train_loader(seed=0)]
    assert [loader.batch_size for loader in loaders] == [17, 17]
    assert [loader.num_workers for loader in loaders] == [1, 1]


def test_a_fifth_of_each_class_of_nested_data_sets_tests(digits, transform):
    by_class = [
        np.flatnonzero(np.asarray(digits.targets) == digit)[:20] for digit in (2, 5, 7)
    ]
    dataset = ConcatDataset([Subset(digits, images.tolist()) for images in by_class])
    tasks = [ProbeTask.of_dataset(dataset, transform, seed) for seed in (0, 0, 1)]
    for task in tasks:
        assert sorted([*task.train, *task.test]) == list(range(60))
        assert np.bincount(task.test_targets).tolist() == [0, 0, 4, 0, 0, 4, 0, 4]
        assert [t for _, of in task.loader(task.test) for t in of.tolist()] == (
            task.test_targets.tolist()
        )
    assert np.array_equal(tasks[0].test, tasks[1].test)
    assert not np.array_equal(tasks[0].test, tasks[2].test)


class Relabelled:
    """Digits with other targets."""

    def __init__(self, digits, targets):
        self.digits, self.targets = digits, targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return self.digits[index][0]


@pytest.mark.parametrize("none", [-1, -5, None, float("nan"), ""])
def test_images_without_a_label_are_left_out_and_counted(digits, none):
    targets = [none if i % 3 == 0 else digits.targets[i] for i in range(90)]
    labelled = [i for i in range(90) if i % 3]
    dataset = Relabelled(digits, targets)
    task = ProbeTask(dataset, range(40), range(40, 90), PLAIN)
    assert task.train.tolist() == [i for i in labelled if i < 40]
    assert task.test.tolist() == [i for i in labelled if i >= 40]
    assert task.unlabelled == 30
    assert task.num_classes == 10
    whole = ProbeTask.of_dataset(dataset, PLAIN, seed=3)
    alone = ProbeTask.of_dataset(Subset(digits, labelled), PLAIN, seed=3)
    assert whole.unlabelled == 30
    for name in ("train", "test"):
        expected = np.array(labelled)[getattr(alone, name)]
        assert getattr(whole, name).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            [-1] * 6 + [0, 1],
            "images to train a probe on: none of the 6 images of train",
        ),
        ([0, 1] * 3 + [None] * 2, "images to test a probe on: none of the 2 images"),
    ],
)
def test_a_task_without_labelled_images(digits, targets, message):
    with pytest.raises(MemorizationError, match=f"There are no labelled {message}"):
        ProbeTask(Relabelled(digits, targets), range(6), range(6, 8), PLAIN)


def test_a_data_set_without_labelled_images(digits):
    with pytest.raises(MemorizationError, match="fifth of each class"):
        ProbeTask.of_dataset(Relabelled(digits, [None] * 20), PLAIN)


@pytest.mark.parametrize(
    ("n_images", "sizes"), [(16, [8, 8]), (17, [8, 8]), (18, [8, 8, 2]), (3, [3])]
)
def test_no_image_is_alone_in_a_batch_of_training(digits, n_images, sizes):
    task = ProbeTask(digits, range(n_images), range(20, 24), PLAIN, batch_size=8)
    assert [len(targets) for _, targets in task.train_loader(0)] == sizes
