import pytest
import pytorch_lightning as pl
import torch
from lightly.data import LightlyDataset
from torch.utils.data import ConcatDataset

from lightly_memloc import (
    MemorizationSplit,
    load_result,
    measure_layer_mem,
    measure_unit_mem,
    memorization_eval,
)


class Whole(pl.LightningModule):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.projection_head = torch.nn.Linear(32, 8)


@pytest.fixture
def folders(tmp_path, digits):
    """Training and validation images, nine and eight, of the same file names."""
    for role, indices in (("train", range(9)), ("val", range(20, 28))):
        for number, index in enumerate(indices):
            image, target, _ = digits[index]
            path = tmp_path / role / str(target) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return tmp_path / "train", tmp_path / "val"


def evaluate(encoder, folders, log_dir, transform, **options):
    return memorization_eval(
        model=Whole(encoder),
        train_dir=folders[0],
        val_dir=folders[1],
        log_dir=log_dir,
        batch_size_per_device=4,
        num_workers=0,
        accelerator="cpu",
        devices=1,
        strategy="auto",
        transform=transform,
        n_views=2,
        **options,
    )


def test_train_images_are_members_and_validation_images_the_holdout(
    tmp_path, encoders, folders, transform
):
    metrics = evaluate(encoders[0], folders, tmp_path / "logs", transform)
    images = ConcatDataset([LightlyDataset(str(folder)) for folder in folders])
    split = MemorizationSplit(17, candidate=range(9), external=range(9, 17))
    unit_mem = measure_unit_mem(
        encoders[0], images, transform, range(9), range(9, 17), n_views=2
    )
    gap = measure_layer_mem(encoders[0], None, images, split, transform, n_views=2)
    assert metrics == pytest.approx(unit_mem.scalars() | gap.scalars(), rel=1e-6)
    saved = load_result(tmp_path / "logs" / "memorization_eval" / "unit-mem")
    assert saved.to_pandas()["filename"].tolist() == (
        unit_mem.to_pandas()["filename"].tolist()
    )


def test_evaluators_by_name(tmp_path, encoders, folders, transform):
    metrics = evaluate(
        encoders[0], folders, tmp_path, transform, evaluators=["class_mem"]
    )
    assert {name.split("/")[0] for name in metrics} == {"class_mem"}


def test_options_reach_the_measurement(tmp_path, encoders, folders, transform):
    model = Whole(encoders[0])
    model.other = encoders[1]
    sizes = []
    encoders[1].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    metrics = memorization_eval(
        model=model,
        train_dir=folders[0],
        val_dir=folders[1],
        log_dir=tmp_path,
        batch_size_per_device=3,
        num_workers=0,
        accelerator="cpu",
        devices=1,
        transform=transform,
        backbone="other",
        layers=["layer2.*"],
        n_views=3,
        seed=5,
        evaluators=["unit_mem"],
    )
    assert max(sizes) == 3 * 3
    images = ConcatDataset([LightlyDataset(str(folder)) for folder in folders])
    expected = measure_unit_mem(
        encoders[1],
        images,
        transform,
        indices=range(9),
        holdout=range(9, 17),
        layers=["layer2.*"],
        n_views=3,
        seed=5,
    )
    assert metrics == pytest.approx(expected.scalars(), rel=1e-6)
