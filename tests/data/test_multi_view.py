import copy
import os
import random
from itertools import combinations

import numpy as np
import pytest
import torch
from lightly.data import LightlyDataset
from lightly.transforms import (
    DINOTransform,
    GaussianBlur,
    MAETransform,
    SimCLRTransform,
)
from lightly.transforms.multi_view_transform import MultiViewTransform
from lightly.transforms.multi_view_transform_v2 import MultiViewTransformV2
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torchvision import transforms as T
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import v2

from lightly_memloc.data import MultiViewDataset
from lightly_memloc.errors import MemorizationError, UnreadableImageError


def noise(count, size=12):
    pixels = np.random.default_rng(0).integers(
        0, 256, (count, size, size, 3), dtype=np.uint8
    )
    return [Image.fromarray(image) for image in pixels]


def augmentation():
    return T.Compose(
        [
            T.RandomResizedCrop(8, scale=(0.3, 1)),
            T.RandomHorizontalFlip(),
            T.ColorJitter(0.8, 0.8, 0.8, 0.2),
            GaussianBlur(prob=0.5, sigmas=(0.2, 2)),
            T.RandomApply([T.Grayscale(3)], p=0.2),
            T.ToTensor(),
        ]
    )


def stored(views):
    return torch.stack([views[index][0] for index in range(len(views))])


def test_shape_and_indices():
    views = MultiViewDataset(noise(5), augmentation(), n_views=3)
    assert len(views) == 5
    item, target, filename = views[torch.tensor(2)]
    assert (item.shape, item.dtype) == ((3, 3, 8, 8), torch.float32)
    assert (target, filename) == (-1, "2")
    assert torch.equal(item, views[2][0])


def test_views_of_an_order():
    views = MultiViewDataset(noise(6), augmentation(), n_views=3)
    reference = stored(views)
    for order in ([5, 4, 3, 2, 1, 0], [2, 2, 0, 5, 2]):
        for index in order:
            assert torch.equal(views[index][0], reference[index])


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_views_of_a_loader(batch_size, num_workers, stir):
    dataset = MultiViewDataset(noise(6), augmentation(), n_views=3)
    reference = stored(dataset)
    stir(11)
    loader = DataLoader(dataset, batch_size, shuffle=True, num_workers=num_workers)
    names = []
    for views, targets, filenames in loader:
        names += filenames
        assert targets.tolist() == [-1] * len(filenames)
        for view, filename in zip(views, filenames, strict=True):
            assert torch.equal(view, reference[int(filename)])
    assert names != sorted(names)
    assert sorted(names) == ["0", "1", "2", "3", "4", "5"]


def test_views_in_any_generator_state(stir):
    views = MultiViewDataset(noise(2), augmentation(), n_views=4)
    stir(1)
    first = views[1][0]
    stir(2)
    torch.rand(3), np.random.rand(5), random.random()
    assert torch.equal(views[1][0], first)


def test_views_for_any_number_of_views():
    images, transform = noise(3), augmentation()
    few, many = (MultiViewDataset(images, transform, n_views=v) for v in (3, 7))
    assert torch.equal(stored(few), stored(many)[:, :3])


def test_views_differ():
    image = noise(1)[0]
    views = stored(MultiViewDataset([image] * 3, augmentation(), n_views=4))
    for one, other in combinations(views.flatten(0, 1), 2):
        assert not torch.equal(one, other)


def test_seeds_differ():
    images, transform = noise(2), augmentation()
    default, zero, one = (
        stored(MultiViewDataset(images, transform, 3, **seed))
        for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert torch.equal(default, zero)
    for view, other in zip(zero.flatten(0, 1), one.flatten(0, 1), strict=True):
        assert not torch.equal(view, other)


@pytest.mark.parametrize(
    "draw",
    [
        lambda _: torch.rand(1),
        lambda _: torch.tensor([np.random.rand()]),
        lambda _: torch.tensor([random.random()]),
        T.Compose([GaussianBlur(prob=1, sigmas=(0.3, 3)), T.ToTensor()]),
    ],
    ids=["torch", "numpy", "random", "lightly's GaussianBlur"],
)
def test_generators_are_seeded(draw, stir):
    views = MultiViewDataset(noise(3), draw, n_views=4)
    stir(1)
    first = stored(views)
    stir(2)
    assert torch.equal(stored(views), first)
    for one, other in combinations(first.flatten(0, 1), 2):
        assert not torch.equal(one, other)


def test_blurs_are_those_of_random_radii():
    image = noise(1)[0]
    transform = T.Compose([GaussianBlur(prob=0.5, sigmas=(0.5, 2)), T.ToTensor()])
    views = stored(MultiViewDataset([image], transform, n_views=40))[0]
    sharp = T.ToTensor()(image)
    untouched = sum(torch.equal(view, sharp) for view in views)
    # Binomial: 40 draws of probability 1/2; three standard deviations are 9.5.
    assert 10 < untouched < 30
    assert len({view.numpy().tobytes() for view in views}) == 41 - untouched


class RandomCrops:
    """A data set with a random transform of its own, of each generator."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        drawn = [torch.rand(1).item(), np.random.rand(), random.random()]
        return torch.tensor(drawn)[:, None, None]


def test_random_images_of_a_data_set_are_the_same_whenever_they_are_read(stir):
    def first_views(state, seed=0):
        stir(state)
        return stored(
            MultiViewDataset(RandomCrops(), lambda x: x, n_views=2, seed=seed)
        )

    images = first_views(1)
    assert torch.equal(images, first_views(2))
    assert torch.equal(images[:, 0], images[:, 1])
    other_seed = first_views(1, seed=1)
    for generator in range(3):
        drawn = torch.cat([images[:, 0, generator], other_seed[:, 0, generator]])
        assert drawn.unique().numel() == 6


def test_generator_states_stay(generator_states):
    views = MultiViewDataset(
        noise(2), augmentation(), n_views=2, anchor_transform=augmentation()
    )
    before = generator_states()
    views[0], views[1]
    assert generator_states() == before


def test_generator_states_stay_after_an_error(generator_states):
    def transform(_):
        torch.rand(1), np.random.rand(), random.random()
        raise RuntimeError("on the way")

    views = MultiViewDataset(noise(2), transform, n_views=2)
    before = generator_states()
    with pytest.raises(RuntimeError, match="on the way"):
        views[0]
    assert generator_states() == before


@pytest.mark.parametrize(
    "several",
    [
        lambda first, second: MultiViewTransform([first, second]),
        lambda first, second: MultiViewTransformV2([first, second]),
    ],
)
def test_first_of_several_transforms(several):
    def never(_):
        raise AssertionError("the second view was made")

    transform = several(lambda _: torch.zeros(2), never)
    views = MultiViewDataset(noise(1), transform, n_views=3)
    assert torch.equal(views[0][0], torch.zeros(3, 2))
    views = MultiViewDataset(
        noise(1), lambda _: torch.ones(2), n_views=1, anchor_transform=transform
    )
    assert torch.equal(views[0][0], torch.tensor([[0.0, 0.0], [1.0, 1.0]]))


@pytest.mark.parametrize("container", [list, tuple])
def test_first_of_several_views(container):
    def several(_):
        return container([torch.zeros(2), torch.ones(2)])

    views = MultiViewDataset(
        noise(1), several, n_views=2, anchor_transform=lambda _: several(_)[::-1]
    )
    assert views[0][0].tolist() == [[1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    "transform",
    [
        SimCLRTransform(input_size=10),
        DINOTransform(global_crop_size=10, local_crop_size=6),
        MAETransform(input_size=10),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_transforms_of_lightly(transform, stir):
    views = MultiViewDataset(noise(2, size=16), transform, n_views=4)
    stir(1)
    first = stored(views)
    stir(2)
    assert first.shape == (2, 4, 3, 10, 10)
    assert torch.equal(stored(views), first)
    for one, other in combinations(first[0], 2):
        assert not torch.equal(one, other)


def test_anchor_comes_first():
    images = noise(3)
    plain = MultiViewDataset(images, augmentation(), n_views=2)
    crop = T.Compose([T.CenterCrop(8), T.ToTensor()])
    anchored = MultiViewDataset(
        images, augmentation(), n_views=2, anchor_transform=crop
    )
    for index, image in enumerate(images):
        views = anchored[index][0]
        clean = torch.from_numpy(np.asarray(image)[2:10, 2:10] / np.float32(255))
        assert views.shape == (3, 3, 8, 8)
        assert torch.equal(views[0], clean.permute(2, 0, 1))
        assert torch.equal(views[1:], plain[index][0])


def grey(views):
    assert torch.equal(views, views[:1, :1, :1, :1].expand_as(views))
    return round(255 * views[0, 0, 0, 0].item())


def found(dataset):
    views = MultiViewDataset(dataset, T.Compose([T.RandomCrop(8), T.ToTensor()]), 2)
    return [
        (grey(item), target, name)
        for item, target, name in (views[index] for index in range(len(views)))
    ]


CAT_A, CAT_B, DOG = (
    os.path.join(*name)
    for name in [("cat", "a.png"), ("cat", "b.png"), ("dog", "c.png")]
)


@pytest.mark.parametrize("opened", [LightlyDataset, ImageFolder])
def test_class_folders(write_images, opened):
    folder = opened(str(write_images("dog/c.png", "cat/b.png", "cat/a.png")))
    assert found(folder) == [(30, 0, CAT_A), (20, 0, CAT_B), (10, 1, DOG)]


@pytest.mark.parametrize("opened", [LightlyDataset, ImageFolder])
def test_subset_of_class_folders(write_images, opened):
    folder = opened(str(write_images("dog/c.png", "cat/b.png", "cat/a.png")))
    subset = Subset(folder, [2, 0])
    assert found(subset) == [(10, 1, DOG), (30, 0, CAT_A)]
    assert found(Subset(subset, [1])) == [(30, 0, CAT_A)]


def test_flat_folder(write_images):
    folder = LightlyDataset(str(write_images("2.png", "10.png", "1.png")))
    assert found(folder) == [(30, 0, "1.png"), (20, 0, "10.png"), (10, 0, "2.png")]


def test_pairs_triples_and_bare_images():
    images = [Image.new("RGB", (9, 9), (value,) * 3) for value in (40, 50)]
    pairs = list(zip(images, [6, 7], strict=True))
    triples = list(zip(images, [6, 7], ["x", "y"], strict=True))
    assert found(images) == [(40, -1, "0"), (50, -1, "1")]
    assert found(pairs) == [(40, 6, "0"), (50, 7, "1")]
    assert found([list(pair) for pair in pairs]) == found(pairs)
    assert found(triples) == [(40, 6, "x"), (50, 7, "y")]


def test_array_images():
    image = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    item, target, filename = MultiViewDataset([image], T.ToTensor(), n_views=2)[0]
    clean = torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)
    assert torch.equal(item, clean.expand(2, 3, 5, 5))
    assert (target, filename) == (-1, "0")


def test_tensor_images():
    images = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).float()
    views = MultiViewDataset(images, lambda image: 2 * image, n_views=2)
    assert torch.equal(stored(views), 2 * images[:, None].expand(2, 2, 3, 4, 4))


def test_fake_data():
    fake = FakeData(4, (3, 8, 8), num_classes=3)
    views = MultiViewDataset(fake, T.ToTensor(), n_views=2)
    for index in range(4):
        image, target = fake[index]
        item, found_target, filename = views[index]
        clean = torch.from_numpy(np.asarray(image) / np.float32(255)).permute(2, 0, 1)
        assert torch.equal(item, clean.expand(2, 3, 8, 8))
        assert (int(found_target), filename) == (int(target), str(index))


def truncated(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 30])


def no_image(path):
    path.write_text("this is no image")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("opened", "spoil"),
    [(LightlyDataset, truncated), (ImageFolder, no_image), (LightlyDataset, empty)],
)
def test_unreadable_image(write_images, opened, spoil):
    folder = write_images("cat/a.png", "cat/b.png", "dog/c.png")
    spoil(folder / "cat" / "b.png")
    for dataset, good, bad in [
        (opened(str(folder)), 0, 1),
        (Subset(opened(str(folder)), [2, 1]), 0, 1),
    ]:
        views = MultiViewDataset(dataset, T.ToTensor(), n_views=2)
        assert views[good][0].shape == (2, 3, 12, 12)
        with pytest.raises(UnreadableImageError) as caught:
            views[bad]
        assert str(caught.value).startswith(f"{CAT_B}: cannot be read as an image (")


def test_image_too_large_to_decode(write_images, monkeypatch):
    folder = write_images("a.png")
    # Pillow refuses more than twice as many pixels; the image has 144.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 71)
    views = MultiViewDataset(LightlyDataset(str(folder)), T.ToTensor(), n_views=2)
    with pytest.raises(UnreadableImageError, match=r"^a\.png: .*decompression bomb"):
        views[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("bad disk"), "bad disk"),
        (SyntaxError("broken PNG file"), "broken PNG file"),
        (ValueError("wrong size"), "wrong size"),
        (OSError(), "OSError"),
    ],
)
def test_errors_that_readers_raise_for_unreadable_images(error, reason):
    class Faulty(list):
        def __getitem__(self, index):
            raise error

    views = MultiViewDataset(Faulty([0]), T.ToTensor(), n_views=2)
    with pytest.raises(
        UnreadableImageError, match=rf"^0: cannot be read as an image \({reason}\)"
    ):
        views[0]


def test_missing_image(write_images):
    folder = write_images("a.png", "b.png")
    dataset = LightlyDataset(str(folder))
    (folder / "a.png").unlink()
    views = MultiViewDataset(dataset, T.ToTensor(), n_views=2)
    with pytest.raises(UnreadableImageError, match=r"^a\.png: .*No such file"):
        views[0]


def test_image_that_is_read_late(write_images):
    path = write_images("a.png") / "a.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 30])
    views = MultiViewDataset([Image.open(path)], T.ToTensor(), n_views=2)
    with pytest.raises(UnreadableImageError, match=r"^0: "):
        views[0]


def test_other_errors_of_a_data_set_pass():
    class Faulty(list):
        def __getitem__(self, index):
            raise KeyError("label file")

    with pytest.raises(KeyError, match="label file"):
        MultiViewDataset(Faulty([0]), T.ToTensor(), n_views=2)[0]


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (([torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)], 1), "list"),
        (({"image": torch.zeros(3, 4, 4)}, 1), "dict"),
        ({"image": torch.zeros(3, 4, 4)}, "dict"),
        (("a.png", 1), "str"),
    ],
)
def test_item_without_an_image(item, kind):
    with pytest.raises(
        MemorizationError,
        match=f"returned a {kind} for image 0; .* remove it there",
    ):
        MultiViewDataset([item], T.ToTensor(), n_views=2)[0]


@pytest.mark.parametrize("kind", ["tensor", "PIL"])
def test_several_images_in_an_item(kind):
    images = noise(2)
    if kind == "tensor":
        images = [T.ToTensor()(image) for image in images]
    views = MultiViewDataset([tuple(images)], lambda image: image, n_views=2)
    with pytest.raises(
        MemorizationError,
        match=r"returned several images for image 0; .* remove it there",
    ):
        views[0]


@pytest.mark.parametrize("target", [torch.tensor(4), torch.tensor([0.25, 0.75])])
def test_targets_that_are_tensors(target):
    dataset = [(noise(1)[0], target)]
    _, found_target, _ = MultiViewDataset(dataset, T.ToTensor(), n_views=2)[0]
    assert torch.equal(found_target, target)


def test_data_set_with_views_of_its_own(write_images):
    dataset = LightlyDataset(
        str(write_images("a.png")), transform=SimCLRTransform(input_size=8)
    )
    with pytest.raises(
        MemorizationError,
        match=r"returned a list for image 0; .* remove it there",
    ):
        MultiViewDataset(dataset, T.ToTensor(), n_views=2)[0]


@pytest.mark.parametrize(
    ("transform", "kind", "name"),
    [
        (T.RandomCrop(4), "Image", "RandomCrop"),
        (T.Compose([T.RandomCrop(4)]), "Image", "Compose"),
        (MultiViewTransform([T.RandomCrop(4), T.ToTensor()]), "Image", "RandomCrop"),
        (v2.Lambda(lambda _: []), "list", "Lambda"),
        (v2.Lambda(lambda _: None), "NoneType", "Lambda"),
    ],
)
def test_transform_without_a_tensor(transform, kind, name):
    with pytest.raises(
        MemorizationError, match=rf"got {kind} from {name}\. Add ToTensor"
    ):
        MultiViewDataset(noise(1), transform, n_views=2)[0]
    with pytest.raises(MemorizationError, match=f"got {kind} from {name}"):
        MultiViewDataset(noise(1), T.ToTensor(), n_views=2, anchor_transform=transform)[
            0
        ]


def test_views_of_several_sizes(write_images):
    folder = LightlyDataset(str(write_images("cat/a.png", "cat/b.png")))
    sizes = iter([5, 6])

    def transform(_):
        return torch.zeros(3, 4, next(sizes))

    with pytest.raises(MemorizationError) as caught:
        MultiViewDataset(folder, transform, n_views=2)[1]
    message = str(caught.value)
    assert message.startswith(f"{CAT_B}: expected views of the same size")
    assert "(3, 4, 5)" in message
    assert "(3, 4, 6)" in message


def test_anchor_of_another_size():
    views = MultiViewDataset(
        noise(2), augmentation(), n_views=2, anchor_transform=T.ToTensor()
    )
    with pytest.raises(MemorizationError, match=r"^1: expected views of the same size"):
        views[1]


@pytest.mark.parametrize(
    ("n_views", "anchor"), [(1, None), (0, None), (-3, None), (0, T.ToTensor())]
)
def test_too_few_views(n_views, anchor):
    with pytest.raises(MemorizationError, match=f"n_views={n_views}"):
        MultiViewDataset(noise(1), T.ToTensor(), n_views, anchor_transform=anchor)


def test_one_view_suffices_beside_an_anchor():
    views = MultiViewDataset(
        noise(1), T.ToTensor(), n_views=1, anchor_transform=T.ToTensor()
    )
    assert views[0][0].shape == (2, 3, 12, 12)


def test_ten_views_by_default():
    assert MultiViewDataset(noise(1), T.ToTensor())[0][0].shape == (10, 3, 12, 12)


def test_negative_seed_is_refused():
    with pytest.raises(
        MemorizationError, match="seed to be a whole number at least 0, got -1"
    ):
        MultiViewDataset(noise(1), T.ToTensor(), seed=-1)


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_index_out_of_range(index):
    # A tensor would give its last image for -1.
    views = MultiViewDataset(torch.zeros(3, 3, 4, 4), lambda image: image, n_views=2)
    with pytest.raises(IndexError, match=rf"no image {index} in a data set of 3"):
        views[index]


def test_iteration_ends_after_the_last_image():
    class Endless:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return torch.full((1, 1, 1), float(index))

    views = MultiViewDataset(Endless(), lambda image: image, n_views=2)
    assert [name for _, _, name in views] == ["0", "1", "2"]


@pytest.mark.parametrize("form", ["tensor", "array", "pil"])
@pytest.mark.parametrize("anchored", [False, True])
def test_a_transform_that_writes_into_its_input(form, anchored):
    """Each view begins with the image, which may be the same object each time."""
    pixels = np.random.default_rng(0).integers(256, size=(6, 6, 3), dtype=np.uint8)
    images = {
        "tensor": torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255,
        "array": pixels.copy(),
        "pil": Image.fromarray(pixels),
    }

    class One:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return images[form]

    def darken(image):
        if form == "pil":
            image.putpixel((0, 0), (0, 0, 0))
            image.paste((0, 0, 0), (0, 0, 3, 3))
            seen = T.functional.to_tensor(image)
        else:
            image *= 0 if form == "array" else 0.5
            seen = torch.as_tensor(np.array(image)).float()
        return seen

    anchor = darken if anchored else None
    before = copy.deepcopy(images[form])
    first, *others = MultiViewDataset(One(), darken, 3, 0, anchor)[0][0]
    assert all(torch.equal(first, other) for other in others)
    assert np.array_equal(np.array(images[form]), np.array(before))
