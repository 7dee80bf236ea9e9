import numpy as np
import pytest
import torch
from PIL import Image

from lightly_memloc.data import Digits, Study
from lightly_memloc.report import plot_views, save_views


def crop(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    left = int(torch.randint(3, (1,)))
    return 10 * pixels[:, :6, left : left + 6] - 3


def images_of(figure):
    return [place.images[0].get_array() for place in figure.axes if place.images]


@pytest.mark.parametrize("n_views", [2, 4, 10])
def test_four_images_with_up_to_four_views(n_views):
    study = Study(Digits(), crop, holdout=range(900, 1797), n_views=n_views)
    figure = plot_views(study)
    shown = min(n_views, 4)
    drawn = images_of(figure)
    assert len(drawn) == 4 * (shown + 1)
    # Members and held-out images, first and last.
    names = [place.get_ylabel() for place in figure.axes[:: shown + 1]]
    expected = [Digits()[index][2] for index in (0, 899, 900, 1796)]
    assert names == expected
    views, *_ = study.views()[899]
    of_image = np.stack([np.asarray(of) for of in drawn[shown + 2 : 2 * shown + 2]])
    # One scale for all views of an image.
    seen = views.numpy()[:shown]
    scaled = (seen - views.numpy().min()) / np.ptp(views.numpy())
    np.testing.assert_allclose(of_image, np.moveaxis(scaled, 1, -1), atol=1e-6)


def test_views_are_those_that_are_measured():
    study = Study(Digits(), crop, n_views=3, seed=5)
    first, again = (images_of(plot_views(study)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


class Broken:
    filenames = ("a", "b", "c")

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 0:
            raise OSError("broken")
        return Image.new("RGB", (9, 9), "red")


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    study = Study(Broken(), crop, n_views=2)
    save_views(study, tmp_path / "views.png")
    assert Image.open(tmp_path / "views.png").size[0] > 100
    assert len(images_of(plot_views(study))) == 2 * 3


def test_grey_and_constant_views():
    def grey(image):
        return crop(image)[:1]

    assert images_of(plot_views(Study(Digits(), grey)))[1].shape == (6, 6)

    def constant(image):
        return torch.full((3, 6, 6), 7.0)

    assert not np.asarray(images_of(plot_views(Study(Digits(), constant)))[1]).any()
