"""What goes wrong after the first batch, and what a second validation forgets."""

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torchvision import transforms

import lightly_memloc as memloc
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import EVALUATORS
from tests.evaluators.tiny import OnlyBlackIsNegative, Shades, Tiny

PLAIN = transforms.ToTensor()
CROPPED = transforms.Compose([transforms.RandomCrop(6), transforms.ToTensor()])
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def evaluator_of(name, model, dataset, *, indices=None, holdout=None, **options):
    transform = PLAIN
    if name == "layer_mem":
        indices, holdout, transform = range(6), range(6, 12), CROPPED
    study = Study(dataset, transform, indices=indices, holdout=holdout, n_views=2)
    return EVALUATORS[name](model, study, batch_size=2, **options)


class SkipsItsLastLayer(nn.Module):
    """A layer that runs in the first batch only, whose images include a black one."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        out = self.first(x)
        return self.last(out) if x.amin() == 0 else out


@pytest.mark.parametrize("measure", [memloc.measure_unit_mem, memloc.measure_class_mem])
def test_a_layer_that_runs_in_the_first_batch_only(measure):
    with pytest.raises(
        MemorizationError, match="Layer last did not run on a batch with image"
    ):
        measure(SkipsItsLastLayer(), Shades(6), PLAIN, n_views=2, batch_size=2)


class NotFiniteFromImage11(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        lightest = x.amin((1, 2, 3), keepdim=True) >= 110 / 255
        return self.conv(x.masked_fill(lightest, torch.nan))


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_a_later_image_that_gives_nan(name):
    evaluator = evaluator_of(name, NotFiniteFromImage11(), Shades(12))
    with pytest.raises(MemorizationError, match=r"Layer conv: Image 11 gave NaN"):
        Trainer(**QUIET).validate(evaluator, verbose=False)


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_unreadable_images_are_counted_anew(name):
    evaluator = evaluator_of(
        name, Tiny(), Shades(12, broken=(3, 8)), skip_unreadable=True
    )
    for _ in range(2):
        Trainer(**QUIET).validate(evaluator, verbose=False)
        skipped = evaluator.result.settings["skipped"]
        assert skipped == ["shade/03.png", "shade/08.png"]


@pytest.mark.parametrize("name", ["unit_mem", "class_mem"])
def test_layers_are_negative_anew(name):
    model = OnlyBlackIsNegative()
    evaluator = evaluator_of(name, model, Shades(6))
    for bias, rectified in ((-0.02, True), (0.0, False)):
        nn.init.constant_(model.conv.bias, bias)
        Trainer(**QUIET).validate(evaluator, verbose=False)
        assert evaluator.result.tables["layers"]["rectified"].tolist() == [rectified]


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_not_one_image_can_be_read(name):
    dataset = Shades(12, broken=range(12))
    evaluator = evaluator_of(name, Tiny(), dataset, skip_unreadable=True)
    with pytest.raises(
        MemorizationError, match=r"No image could be read.*shade/00\.png, shade/01\.png"
    ):
        Trainer(**QUIET).validate(evaluator, verbose=False)


class LosesTheBatch(nn.Module):
    """A layer that gives one row, however many images there are."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.merged = nn.Linear(4, 4)

    def forward(self, x):
        return self.merged(self.conv(x).mean((0, 2, 3))[None])


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_a_layer_that_loses_the_batch(name):
    evaluator = evaluator_of(name, LosesTheBatch(), Shades(12), layers=["merged"])
    with pytest.raises(
        MemorizationError, match=r"Layer merged gave shape \(1, 4\) for 2 images"
    ):
        Trainer(**QUIET).validate(evaluator, verbose=False)
