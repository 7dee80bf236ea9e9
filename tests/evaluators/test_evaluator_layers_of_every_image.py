"""Encoders that run other layers on other images: their scores would be misfiled."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import transforms

import lightly_memloc as memloc
from lightly_memloc.data import Digits
from lightly_memloc.errors import MemorizationError

CROP = transforms.Compose([transforms.RandomCrop(6), transforms.ToTensor()])
SPLIT = memloc.MemorizationSplit(12, candidate=range(6), external=range(6, 12))
BATCHES = {"n_views": 2, "batch_size": 2}


class TwelveDigits:
    """The first digits, as images with file names."""

    def __init__(self):
        digits = Digits()
        self.images = digits.images[:12]
        self.filenames = digits.filenames[:12]
        self.targets = digits.targets[:12]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.targets[index], self.filenames[index]


class Router(nn.Module):
    """Runs its second or its third layer, by the number of the forward pass."""

    def __init__(self, route):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.route = route
        self.passes = 0

    def forward(self, x):
        x = self.stem(x)
        # The first passes are the trace's and that of the first batch.
        taken = self.route(self, x, max(0, self.passes - 1))
        self.passes += 1
        return taken.mean((2, 3))


def alternates(model, x, batch):
    return (model.a(x) + model.b(x)) if batch == 0 else (model.a, model.b)[batch % 2](x)


def skips_later(model, x, batch):
    return model.a(x) + (model.b(x) if batch < 2 else 0)


def runs_again(model, x, batch):
    x = model.a(x) + model.b(x)
    return x if batch < 2 else model.b(x)


def takes_half(model, x, batch):
    routed = x if batch < 2 else x[: len(x) // 2]
    return model.a(x).mean((0,), keepdim=True) + model.b(routed)


MEASUREMENTS = {
    "layer_mem": lambda model, data: memloc.measure_layer_mem(
        model, None, data, SPLIT, CROP, **BATCHES
    ),
    "unit_mem": lambda model, data: memloc.measure_unit_mem(
        model, data, CROP, range(12), **BATCHES
    ),
    "class_mem": lambda model, data: memloc.measure_class_mem(
        model, data, CROP, range(12), **BATCHES
    ),
}


@pytest.mark.parametrize(
    ("route", "layer", "found"),
    [
        (alternates, "a|b", "did not run"),
        (skips_later, "b", "did not run"),
        (runs_again, "b", "ran more than once"),
        (takes_half, "b", "returned 2 rows for 4 views"),
    ],
)
@pytest.mark.parametrize("measure", MEASUREMENTS)
def test_a_layer_that_misses_images_is_refused_by_name(measure, route, layer, found):
    run = MEASUREMENTS[measure]
    with pytest.raises(MemorizationError, match=rf"Layer ({layer}) {found}.*\d\.png"):
        run(Router(route), TwelveDigits())


def test_the_reference_encoder_is_held_to_the_same():
    f, g = Router(lambda m, x, _: m.a(x) + m.b(x)), Router(skips_later)
    split = memloc.MemorizationSplit(12, candidate=range(6), independent=range(6, 12))
    with pytest.raises(MemorizationError, match="Layer b did not run"):
        memloc.measure_layer_mem(f, g, TwelveDigits(), split, CROP, **BATCHES)


def test_layers_that_always_run_can_be_measured_alone():
    torch.manual_seed(0)
    router = Router(skips_later)
    alone = memloc.measure_layer_mem(
        router, None, TwelveDigits(), SPLIT, CROP, layers=["stem", "a"], **BATCHES
    )
    views = memloc.MultiViewDataset(TwelveDigits(), CROP, n_views=2)
    expected = []
    for index in range(12):
        with torch.no_grad():
            z = router.stem(views[index][0]).flatten(1).double()
        one, two = z / z.norm(dim=1, keepdim=True)
        expected.append(float((one - two).norm()))
    measured = alone.distances_to_pandas().set_index("index")["f:stem"]
    np.testing.assert_allclose(measured.loc[range(12)], expected, rtol=1e-5)
