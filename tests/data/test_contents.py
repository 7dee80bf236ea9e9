import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from lightly_memloc.data import Contents, changed_images, pixel_digest, signature_of


class Images:
    """Random images in memory; those that are None cannot be read."""

    def __init__(self, n=6):
        rng = np.random.default_rng(0)
        self.images = [
            Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
            for _ in range(n)
        ]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if self.images[index] is None:
            raise UnidentifiedImageError("broken")
        return self.images[index], 0, f"{index}.png"


def signatures(images, indices):
    return [signature_of(images[index][0]) for index in indices]


def read(images, indices):
    contents = Contents(np.array(indices))
    contents.add(np.array(indices), signatures(images, indices))
    return contents


def test_digests_by_index():
    images = Images()
    contents = Contents(np.array([1, 3, 5]))
    assert contents.known() == {}
    contents.add(np.array([5, 1]), signatures(images, [5, 1]))
    expected = {index: pixel_digest(images[index][0]) for index in (1, 5)}
    assert contents.known() == expected
    assert contents.fingerprint() == {str(i): of for i, of in expected.items()}


def test_an_image_without_a_signature_is_left_out():
    contents = Contents(np.array([1, 3]))
    contents.add(np.array([1, 3]), [None, signature_of(Images()[3][0])])
    assert list(contents.known()) == [3]


def test_shares_of_processes_join():
    images, whole = Images(), Contents(np.arange(6))
    for share in ([0, 2, 4], [1, 3, 5]):
        of_rank = Contents(np.arange(6))
        of_rank.add(np.array(share), signatures(images, share))
        whole.merge(of_rank.state())
    assert whole.known() == read(images, range(6)).known()


def test_a_fingerprint_of_many_images_is_of_some_evenly_spread():
    contents, n = Contents(np.arange(0, 3000, 3)), 1000
    some = [signature_of(torch.full((1, 2, 2), index)) for index in range(n)]
    contents.add(np.arange(0, 3000, 3), some)
    chosen = np.array([int(index) for index in contents.fingerprint()])
    assert len(chosen) == 256
    assert (chosen[0], chosen[-1]) == (0, 2997)
    assert set(np.diff(chosen)) <= {9, 12}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_changed_images(num_workers, generator_states):
    images = Images()
    known = read(images, [0, 1, 2, 4, 5]).known()
    before = generator_states()
    assert changed_images(images, known, num_workers=num_workers) == []
    images.images[1] = images.images[2]
    images.images[3] = images.images[0]
    images.images[4] = None
    del images.images[5]
    assert changed_images(images, known, num_workers=num_workers) == [1, 4, 5]
    assert generator_states() == before


def test_the_seed_reads_images_of_a_random_data_set_as_they_were():
    class Random(Images):
        def __getitem__(self, index):
            return torch.rand(3, 4, 4), 0

    from lightly_memloc import MultiViewDataset

    views = MultiViewDataset(Random(), torch.nn.Identity(), n_views=2, seed=7)
    known = {}
    for index in range(3):
        _ = views[index]
        known[index] = views.signature.digest
    assert changed_images(Random(), known, seed=7) == []
    assert changed_images(Random(), known, seed=8) == [0, 1, 2]


def test_images_that_numpy_has_no_type_for():
    half = torch.arange(4, dtype=torch.bfloat16).reshape(1, 2, 2)
    assert pixel_digest(half) == pixel_digest(half.float())
