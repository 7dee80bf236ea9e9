"""What people pass by mistake: a sentence instead of an error of Python's."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import IterableDataset

import lightly_memloc as memloc
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators import load_encoder
from tests.evaluators.tiny import Tiny

SPLIT = memloc.MemorizationSplit(24, candidate=range(8), external=range(8, 16))


class Noise:
    """Images in which every crop is another."""

    def __len__(self):
        return 24

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        pixels = rng.integers(256, size=(12, 12, 3), dtype=np.uint8)
        return Image.fromarray(pixels), index % 2


def crop(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    left, top = torch.randint(pixels.shape[1] - 8 + 1, (2,)).tolist()
    return pixels[:, top : top + 8, left : left + 8]


def both(model, dataset=None, transform=crop):
    """Both kinds of measurement, which share what they refuse."""
    dataset = Noise() if dataset is None else dataset
    yield lambda: memloc.measure_unit_mem(
        model, dataset, transform, range(8), n_views=2
    )
    yield lambda: memloc.measure_layer_mem(
        model, None, dataset, SPLIT, transform, n_views=2, covariates=None
    )


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Noise())


class Transformed(Noise):
    def __getitem__(self, index):
        image, *rest = super().__getitem__(index)
        return [crop(image), crop(image)], *rest


class Hungry(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x, mask):
        return self.conv(x) * mask


@pytest.mark.parametrize(
    ("model", "dataset", "transform", "message"),
    [
        (Tiny(), Stream(), crop, "Expected a map-style data set.*got a Stream"),
        (Tiny(), Transformed(), crop, "If the data set applies a transform"),
        (Tiny(), None, None, "Expected a transform that makes a view.*NoneType"),
        (Tiny(), None, 3, "Expected a transform that makes a view.*int"),
        (
            Tiny(),
            None,
            lambda image: (255 * crop(image)).byte(),
            "floating-point values, got torch.uint8.*ToDtype",
        ),
        (
            Tiny(),
            None,
            lambda image: crop(image)[:1],
            "does not run on views of shape.*Check the size and the channels",
        ),
        (Hungry(), None, crop, "must take a batch of images as its only argument"),
        (Tiny().state_dict(), None, crop, "got a OrderedDict. Load the state_dict"),
        (lambda x: x, None, crop, "Expected an encoder, a torch.nn.Module"),
        (torch.jit.script(Tiny()), None, crop, "TorchScript"),
        (
            torch.jit.trace(Tiny().eval(), torch.rand(2, 3, 8, 8)),
            None,
            crop,
            "TorchScript",
        ),
    ],
)
def test_it_is_explained(model, dataset, transform, message):
    for measure in both(model, dataset, transform):
        with pytest.raises(MemorizationError, match=message):
            measure()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_encoders_in_another_precision(dtype):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    encoder = nn.Sequential(*layers, nn.Flatten()).eval()
    expected = [measure() for measure in both(encoder)]
    found = [measure() for measure in both(encoder.to(dtype))]
    error = {torch.float64: 1e-5, torch.bfloat16: 0.1, torch.float16: 0.02}[dtype]
    for before, after in zip(expected, found, strict=True):
        (one, other) = (of.scalars() for of in (before, after))
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert other[name] == pytest.approx(value, abs=error)


def test_views_in_double_precision():
    encoder = Tiny().eval()
    expected = [measure().scalars() for measure in both(encoder)]
    found = [of().scalars() for of in both(encoder, None, lambda i: crop(i).double())]
    assert [of.keys() for of in found] == [of.keys() for of in expected]
    for one, other in zip(expected, found, strict=True):
        assert list(other.values()) == pytest.approx(list(one.values()), abs=1e-6)


def test_images_that_were_not_scaled():
    for measure in both(Tiny(), None, lambda image: 255 * crop(image)):
        with pytest.warns(
            MemorizationWarning, match="values of up to 255, as of images"
        ):
            measure()


def test_a_transform_that_is_not_random():
    def centre(image):
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
        return pixels[:, :8, :8]

    unit_mem, layer_mem = both(Tiny(), None, centre)
    with pytest.raises(MemorizationError, match="the same view each time"):
        layer_mem()
    # Units are as selective on one view as on several.
    assert len(unit_mem().to_pandas())


def test_an_empty_study():
    with pytest.raises(MemorizationError, match="map-style data set"):
        Study(iter([]), crop)


def test_several_encoders_in_one_checkpoint(tmp_path):
    torch.manual_seed(0)
    student, teacher = Tiny(), Tiny()
    torch.save(
        {
            "student": {f"module.{k}": v for k, v in student.state_dict().items()},
            "teacher": teacher.state_dict(),
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}},
            "epoch": 3,
        },
        tmp_path / "both.pth",
    )
    with pytest.raises(MemorizationError, match=r"under student\., teacher\."):
        load_encoder(Tiny(), tmp_path / "both.pth")
    for prefix, encoder in (("student.", student), ("teacher.", teacher)):
        loaded = load_encoder(Tiny(), tmp_path / "both.pth", prefix=prefix)
        for name, value in loaded.state_dict().items():
            assert torch.equal(value, encoder.state_dict()[name])


@pytest.mark.parametrize("document", [{"epoch": 3, "loss": [1.0]}, [1, 2], {}])
def test_a_checkpoint_without_weights_says_what_it_contains(tmp_path, document):
    torch.save(document, tmp_path / "none.pth")
    found = "epoch, loss" if document and isinstance(document, dict) else ""
    with pytest.raises(MemorizationError, match=f"It contains .*{found}"):
        load_encoder(Tiny(), tmp_path / "none.pth")
