import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, UnidentifiedImageError
from torch.utils.data import ConcatDataset, Dataset, TensorDataset

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import (
    duplicates,
    find_duplicates,
    open_dataset,
    refuse_duplicates,
    signature_of,
)
from lightly_memloc.errors import MemorizationError, MemorizationWarning

N = 24
SPLIT = MemorizationSplit(
    N,
    shared=range(0, 6),
    candidate=range(6, 12),
    independent=range(12, 18),
    external=range(18, 24),
)


def picture(seed, size=48):
    """Blobs and edges: coarse noise, enlarged, with finer noise on top."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(256, size=(9, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), float)
    noisy = smooth + rng.normal(0, 6, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


class Pictures(Dataset):
    """Pictures of which some are replaced, by index."""

    def __init__(self, broken=(), **replaced):
        self.images = [picture(seed) for seed in range(N)]
        for index, image in replaced.items():
            self.images[int(index[1:])] = image
        self.broken = broken
        self.filenames = [f"{index:02d}.png" for index in range(N)]

    def __len__(self):
        return N

    def __getitem__(self, index):
        if index in self.broken:
            raise UnidentifiedImageError("broken")
        return self.images[index], 0


def jpeg(image, quality=60):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def pairs(dataset, split=SPLIT, **options):
    return [
        (pair.indices, pair.identical)
        for pair in find_duplicates(dataset, split, **options)
    ]


def test_pictures_without_duplicates():
    assert pairs(Pictures()) == []


@pytest.mark.parametrize(
    ("one", "other"), [(1, 7), (1, 13), (1, 20), (7, 13), (7, 20), (13, 20)]
)
def test_identical_images_of_any_two_roles(one, other):
    twins = Pictures(**{f"i{other}": picture(one)})
    assert pairs(twins) == [((one, other), True)]


@pytest.mark.parametrize(("one", "other"), [(0, 5), (6, 11), (12, 17), (18, 23)])
def test_copies_within_a_role_are_no_duplicates(one, other):
    assert pairs(Pictures(**{f"i{other}": picture(one)})) == []


def test_images_without_a_role_are_not_compared():
    split = MemorizationSplit(N, candidate=[6], external=[18])
    assert pairs(Pictures(i19=picture(6), i7=picture(18)), split) == []


def test_several_copies_are_all_found():
    dataset = Pictures(i7=picture(1), i13=picture(1), i14=picture(1), i20=picture(3))
    assert pairs(dataset) == [
        ((1, 7), True),
        ((1, 13), True),
        ((1, 14), True),
        ((3, 20), True),
    ]


COPIES = {
    "jpeg": jpeg,
    "smaller": lambda image: image.resize((32, 32), Image.Resampling.BICUBIC),
    "larger": lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
    "stretched": lambda image: image.resize((96, 64), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "grey": lambda image: image.convert("L"),
    "small jpeg": lambda image: jpeg(image.resize((40, 40)), 80),
}


@pytest.mark.parametrize("copy", COPIES)
def test_near_duplicates(copy):
    dataset = Pictures(i20=COPIES[copy](picture(8)))
    assert pairs(dataset) == [((8, 20), False)]


@pytest.mark.parametrize(
    "other",
    [
        lambda image: image.transpose(Image.Transpose.ROTATE_90),
        lambda image: Image.fromarray(255 - np.asarray(image)),
        lambda image: Image.new("RGB", image.size, (90, 90, 90)),
    ],
)
def test_images_that_are_no_copies(other):
    assert pairs(Pictures(i20=other(picture(8)))) == []


def test_uniform_images_are_compared_by_their_colour():
    grey, other = (Image.new("RGB", (48, 48), (level,) * 3) for level in (90, 91))
    assert pairs(Pictures(i7=grey, i20=other)) == []
    assert pairs(Pictures(i7=grey, i20=grey.convert("L"))) == [((7, 20), True)]


def test_an_image_is_paired_with_the_one_it_resembles_most():
    bad, good = jpeg(picture(8), 12), jpeg(picture(8), 95)
    assert ((8, 21), False) in pairs(Pictures(i20=bad, i21=good))
    assert ((8, 20), False) not in pairs(Pictures(i20=bad, i21=good))


def test_blocks_find_what_one_product_finds(monkeypatch):
    dataset = Pictures(i20=jpeg(picture(8)), i13=jpeg(picture(1)), i22=jpeg(picture(2)))
    whole = pairs(dataset)
    assert len(whole) == 3
    monkeypatch.setattr(duplicates, "_BLOCK", 1 << 11)
    assert pairs(dataset) == whole
    monkeypatch.setattr(duplicates, "_BLOCK", 1 << 12)
    assert pairs(dataset) == whole


def test_workers_find_the_same():
    dataset = Pictures(i20=jpeg(picture(8)), i13=picture(1))
    assert pairs(dataset, num_workers=2) == pairs(dataset) != []


def test_unreadable_images_are_left_out():
    assert pairs(Pictures(broken=[1], i7=picture(1))) == []
    assert pairs(Pictures(broken=[2], i7=picture(1))) == [((1, 7), True)]


def test_files_of_other_names_and_formats(tmp_path):
    for index in range(6):
        picture(index).save(tmp_path / f"{index}.png")
    picture(1).save(tmp_path / "one again.bmp")
    picture(2).save(tmp_path / "two again.jpg", quality=70)
    dataset = open_dataset(tmp_path)
    split = MemorizationSplit(8, candidate=range(6), external=[6, 7])
    found = find_duplicates(dataset, split)
    assert [(pair.filenames, pair.roles, pair.identical) for pair in found] == [
        (("1.png", "one again.bmp"), ("candidate", "external"), True),
        (("2.png", "two again.jpg"), ("candidate", "external"), False),
    ]


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
def test_tensors_in_memory(kind, channels):
    images = torch.stack(
        [
            torch.tensor(np.asarray(picture(seed))).permute(2, 0, 1)[:channels]
            for seed in range(8)
        ]
    ).to(kind)
    images[6], images[7] = images[1], 0.9 * images[2]
    dataset = TensorDataset(images, torch.zeros(8))
    split = MemorizationSplit(8, candidate=range(6), external=[6, 7])
    assert pairs(dataset, split) == [((1, 6), True), ((2, 7), False)]


def test_tensors_of_an_odd_shape_are_compared_for_identity():
    images = torch.arange(12.0).reshape(4, 3)
    images[3] = images[0]
    split = MemorizationSplit(4, candidate=[0, 1], external=[2, 3])
    assert pairs(TensorDataset(images), split) == [((0, 3), True)]


def test_two_data_sets():
    both = ConcatDataset([Pictures(), Pictures()])
    split = MemorizationSplit(2 * N, candidate=range(N), external=range(N, N + 2))
    assert pairs(both, split) == [((0, N), True), ((1, N + 1), True)]


def same_digest(*images):
    return len({signature_of(image).digest for image in images}) == 1


def test_equal_pixels_have_one_digest():
    image = picture(0)
    array = np.asarray(image)
    tensor = torch.tensor(array).permute(2, 0, 1)
    opaque = image.convert("RGBA")
    assert same_digest(image, array, tensor, opaque, image.copy())
    grey = image.convert("L")
    assert same_digest(
        grey, grey.convert("RGB"), grey.convert("RGBA"), np.asarray(grey)
    )
    assert same_digest(image.quantize(16), image.quantize(16).convert("RGB"))


def test_other_pixels_have_other_digests():
    image = picture(0)
    changed = image.copy()
    changed.putpixel((47, 47), (1, 2, 3))
    assert not same_digest(image, changed)
    assert not same_digest(Image.new("L", (4, 6)), Image.new("L", (6, 4)))
    clear, half = (Image.new("RGBA", (4, 4), (9, 9, 9, a)) for a in (0, 128))
    assert not same_digest(clear, half)
    deep = np.full((4, 4), 300, dtype=np.uint16)
    assert not same_digest(Image.fromarray(deep), Image.fromarray(deep + 1))


def test_digits_are_not_taken_for_copies(digits):
    split = MemorizationSplit.of_dataset(digits, 450, 450, 449)
    assert find_duplicates(digits, split) == []


def test_a_copy_of_a_small_image(digits):
    pixels = np.asarray(digits.images[1000]).copy()
    pixels[0, 0] += 1
    digits.images[5] = Image.fromarray(pixels)
    split = MemorizationSplit(1797, candidate=range(900), external=range(900, 1797))
    assert pairs(digits, split) == [((5, 1000), False)]


def test_identical_images_are_refused_by_name():
    dataset = Pictures(i20=picture(8))
    with pytest.raises(
        MemorizationError,
        match=r"Identical images have different roles: 08.png \(candidate\) and 20.png "
        r"\(external\)\..*allow_duplicates=True",
    ):
        refuse_duplicates(dataset, SPLIT)
    with pytest.warns(MemorizationWarning, match=r"Identical images .* 20.png \(ext"):
        refuse_duplicates(dataset, SPLIT, allow_duplicates=True)


def test_near_duplicates_are_reported_by_name():
    dataset = Pictures(i20=jpeg(picture(8)))
    with pytest.warns(
        MemorizationWarning,
        match=r"Near-duplicates .* 08.png \(candidate\) and 20.png \(external\)\.",
    ):
        refuse_duplicates(dataset, SPLIT)


def test_a_long_list_is_cut():
    copies = {f"i{index + 12}": picture(index) for index in range(6, 12)}
    copies |= {f"i{index}": picture(index) for index in range(6)}
    copies["i12"] = picture(0)
    dataset = Pictures(**copies)
    with pytest.raises(MemorizationError, match=r"09.png .* and 21.png .*; and 2 more"):
        refuse_duplicates(dataset, SPLIT)


def test_generators_are_left_alone(generator_states):
    before = generator_states()
    find_duplicates(Pictures(), SPLIT)
    assert generator_states() == before
