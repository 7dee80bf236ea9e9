import numpy as np
import pytest
from sklearn.datasets import load_digits

from lightly_memloc.data import Digits


@pytest.fixture(scope="module")
def digits():
    return Digits()


def test_labels_are_those_of_scikit_learn(digits):
    labels = load_digits().target.tolist()
    assert len(digits) == len(labels) == 1797
    assert digits.targets == labels
    assert [target for _, target, _ in digits] == labels
    assert all(type(target) is int for target in digits.targets)
    assert digits.classes == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]


def test_filenames(digits):
    # scikit-learn's labels start with 0 to 9 and end with 0, 8, 9, 8.
    assert digits.filenames[:3] == ["0/0000.png", "1/0001.png", "2/0002.png"]
    assert digits.filenames[-2:] == ["9/1795.png", "8/1796.png"]
    assert len(set(digits.filenames)) == 1797
    assert [digits[index][2] for index in (0, 7, 1796)] == [
        "0/0000.png",
        "7/0007.png",
        "8/1796.png",
    ]


def test_images_are_small_and_rgb(digits):
    assert {(image.size, image.mode) for image, _, _ in digits} == {((8, 8), "RGB")}


def test_pixels_stand_for_0_to_16(digits):
    sixteenths = load_digits().images
    pixels = np.stack([np.asarray(image) for image, _, _ in digits])
    assert pixels.shape == (1797, 8, 8, 3)
    for channel in range(3):
        np.testing.assert_array_equal(
            np.rint(pixels[..., channel] / 255 * 16), sixteenths
        )
    # Nearest in 0..255 to k / 16 of 255.
    grey = [0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255]
    assert np.unique(pixels).tolist() == grey


def test_a_transform_is_given_each_image(digits):
    def transform(image):
        return image.size, image.getpixel((3, 4))

    image, target, filename = digits[7]
    expected = ((8, 8), image.getpixel((3, 4))), target, filename
    assert Digits(transform=transform)[7] == expected
