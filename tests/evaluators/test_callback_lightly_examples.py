import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from lightly import transforms
from lightly.data import LightlyDataset
from lightly.transforms.smog_transform import SMoGTransform
from lightly.transforms.vicregl_transform import VICRegLTransform
from pytorch_lightning import Trainer, seed_everything
from torch.utils.data import DataLoader, Dataset, IterableDataset

import lightly_memloc as memloc
from lightly_memloc import load_result
from lightly_memloc.data import Digits
from lightly_memloc.errors import MemorizationWarning
from lightly_memloc.functional import unit_mem
from tests.evaluators import lightly_examples as examples

pytestmark = pytest.mark.slow

BATCH_SIZE = 8
MEMBERS, HOLDOUT = range(12), range(12, 24)


def resnet18_layers(stem, stages):
    """A stem and 8 blocks of two convolutions; shortcuts are no layers."""
    blocks = [f"{stage}.{block}" for stage in stages for block in range(2)]
    return [stem, *(name for block in blocks for name in (f"{block}.conv1", block))]


def vit_layers(patch_embedding, blocks, attention, hidden, projection):
    parts = attention, hidden, projection
    return [patch_embedding, *(f"{block}.{part}" for block in blocks for part in parts)]


RESNET = resnet18_layers("0", "4567")
NAMED_RESNET = resnet18_layers("conv1", ["layer1", "layer2", "layer3", "layer4"])
SMOG_RESNET = resnet18_layers("0", "2345")
VIT = vit_layers(
    "patch_embed.proj", ["blocks.0", "blocks.1"], "attn.proj", "mlp.fc1", "mlp.fc2"
)
MASKED_VIT = [f"vit.{name}" for name in VIT]
TORCHVISION_VIT = vit_layers(
    "vit.conv_proj",
    [f"vit.encoder.layers.encoder_layer_{number}" for number in range(2)],
    "self_attention.out_proj",
    "mlp.0",
    "mlp.3",
)


class Example(NamedTuple):
    """An example, its transform, and what is expected of its backbone.

    ``output`` is the module at whose output the units of the layer ``read`` are.
    """

    module: type[pl.LightningModule]
    transform: Callable[[Any], Any]
    layers: list[str] = RESNET
    read: str = "0"
    output: str = "2"
    backbone: str = "backbone"
    num_workers: int = 0
    entry: str = "forward"


def byol_transform():
    return transforms.BYOLTransform(
        view_1_transform=transforms.BYOLView1Transform(
            input_size=32, gaussian_blur=0.0
        ),
        view_2_transform=transforms.BYOLView2Transform(
            input_size=32, gaussian_blur=0.0
        ),
    )


def dino_transform(**options):
    return transforms.DINOTransform(
        global_crop_size=32, local_crop_size=16, n_local_views=2, **options
    )


TIMM_BLOCK = {
    "layers": MASKED_VIT,
    "read": "vit.blocks.1.mlp.fc2",
    "output": "vit.blocks.1.mlp.fc2",
}
UNWRAPPED_BLOCK = {
    "layers": VIT,
    "read": "blocks.1.mlp.fc2",
    "output": "blocks.1.mlp.fc2",
}
TORCHVISION_BLOCK = {
    "layers": TORCHVISION_VIT,
    "read": "vit.encoder.layers.encoder_layer_1.mlp.3",
    "output": "vit.encoder.layers.encoder_layer_1.mlp.3",
}
EXAMPLES = [
    Example(examples.SimCLR, transforms.SimCLRTransform(input_size=32)),
    Example(
        examples.SimCLRBenchmark,
        transforms.SimCLRTransform(input_size=32),
        NAMED_RESNET,
        read="layer2.1",
        output="layer2.1",
    ),
    Example(examples.MoCo, transforms.MoCoV2Transform(input_size=32), num_workers=2),
    Example(examples.BYOL, byol_transform()),
    Example(examples.SimSiam, transforms.SimSiamTransform(input_size=32)),
    Example(examples.FastSiam, transforms.FastSiamTransform(input_size=32)),
    Example(examples.BarlowTwins, byol_transform()),
    Example(examples.VICReg, transforms.VICRegTransform(input_size=32)),
    Example(
        examples.VICRegL,
        VICRegLTransform(global_crop_size=32, n_local_views=0, global_grid_size=1),
    ),
    Example(examples.NNCLR, transforms.SimCLRTransform(input_size=32)),
    Example(examples.DenseCL, transforms.DenseCLTransform(input_size=32)),
    Example(
        examples.SMoGModel,
        SMoGTransform(
            crop_sizes=(32, 32),
            crop_counts=(1, 1),
            gaussian_blur_probs=(0.0, 0.0),
            crop_min_scales=(0.2, 0.2),
            crop_max_scales=(1.0, 1.0),
        ),
        SMOG_RESNET,
        output="1",
    ),
    Example(
        examples.SwaV,
        transforms.SwaVTransform(crop_sizes=(32, 16), crop_counts=(2, 2)),
    ),
    Example(examples.DINO, dino_transform(), backbone="student_backbone"),
    Example(examples.MAE, transforms.MAETransform(input_size=32), **TIMM_BLOCK),
    Example(
        examples.AIM,
        transforms.AIMTransform(input_size=32),
        entry="forward_features",
        **UNWRAPPED_BLOCK,
    ),
    Example(
        examples.SimMIM, transforms.MAETransform(input_size=32), **TORCHVISION_BLOCK
    ),
    Example(
        examples.MSN,
        transforms.MSNTransform(random_size=32, focal_size=16, focal_views=3),
        backbone="anchor_backbone",
        **TORCHVISION_BLOCK,
    ),
    Example(
        examples.DINOv2,
        dino_transform(global_crop_scale=(0.32, 1), local_crop_scale=(0.05, 0.32)),
        backbone="student_backbone",
        **TIMM_BLOCK,
    ),
    Example(
        examples.LeJEPA,
        dino_transform(global_crop_scale=(0.3, 1), local_crop_scale=(0.05, 0.3)),
        **UNWRAPPED_BLOCK,
    ),
]
EXAMPLES_BY_NAME = {example.module.__name__: example for example in EXAMPLES}


class DigitViews(Dataset):
    """Items ``(views, target)`` as torchvision's data sets give them.

    The target is the image's index: it tells which images a batch holds.
    """

    def __init__(self, transform):
        self.images = Digits().images
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), index


class Witness(pl.Callback):
    """What was trained on, and a module's mean output on each image, seen by a hook."""

    def __init__(self, backbone, output):
        self.place = f"{backbone}.{output}"
        self.targets = []
        self.losses = []
        self.by_image = []
        self.rows = []

    def on_train_start(self, trainer, pl_module):
        module = pl_module.get_submodule(self.place)
        self.handle = module.register_forward_hook(self.see)

    def see(self, module, args, output):
        if module.training:
            positions = (2, 3) if output.ndim == 4 else 1
            self.rows.append(output.detach().relu().mean(dim=positions))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        views = torch.cat(self.rows).reshape(-1, BATCH_SIZE, self.rows[0].shape[1])
        self.by_image.append(views.mean(dim=0))
        self.rows.clear()
        self.targets += batch[1].tolist()
        self.losses.append(float(outputs["loss"]))

    def on_train_end(self, trainer, pl_module):
        self.handle.remove()


def make_trainer(callbacks=(), **options):
    options = {"max_epochs": 1, "limit_train_batches": 2} | options
    return Trainer(
        **options,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )


def fit(module_class, loader, callbacks=(), **options):
    seed_everything(0, verbose=False)
    module = module_class()
    trainer = make_trainer(callbacks, **options)
    trainer.fit(module, loader)
    return trainer


def loader_of(dataset, num_workers=0):
    return DataLoader(
        dataset,
        batch_size=BATCH_SIZE,
        shuffle=not isinstance(dataset, IterableDataset),
        drop_last=True,
        num_workers=num_workers,
    )


def traces(trainer):
    """What training leaves behind besides weights and buffers."""
    module = trainer.lightning_module
    return {
        "modes": [part.training for part in module.modules()],
        "hooks": [
            len(part._forward_hooks) + len(part._forward_pre_hooks)
            for part in module.modules()
        ],
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),
        "random": random.getstate(),
    }


def assert_same_training(watched, alone):
    ours = watched.lightning_module.state_dict()
    theirs = alone.lightning_module.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


class Run(NamedTuple):
    example: Example
    trainer: Trainer
    alone: Trainer
    traces: dict[str, Any]
    traces_alone: dict[str, Any]
    witness: Witness
    memorization: memloc.MemorizationCallback
    online: memloc.OnlineUnitMemCallback
    folder: Path


@pytest.fixture(scope="module", params=EXAMPLES_BY_NAME)
def run(request, tmp_path_factory):
    """An example trained with the callbacks, and without."""
    example = EXAMPLES_BY_NAME[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    images, transform = Digits(), example.transform
    loader = loader_of(DigitViews(transform), example.num_workers)
    alone = fit(example.module, loader)
    traces_alone = traces(alone)
    witness = Witness(example.backbone, example.output)
    memorization = memloc.MemorizationCallback(
        images, transform, indices=MEMBERS, holdout=HOLDOUT, n_views=2, folder=folder
    )
    online = memloc.OnlineUnitMemCallback()
    trainer = fit(example.module, loader, [memorization, online, witness])
    return Run(
        example,
        trainer,
        alone,
        traces(trainer),
        traces_alone,
        witness,
        memorization,
        online,
        folder,
    )


def test_training_runs_its_batches(run):
    assert run.trainer.global_step == run.alone.global_step == 2
    assert len(set(run.witness.targets)) == 2 * BATCH_SIZE
    assert np.isfinite(run.witness.losses).all()


def test_training_ends_as_it_does_without_callbacks(run):
    assert_same_training(run.trainer, run.alone)
    assert run.traces == run.traces_alone


def test_the_backbone_that_is_trained_is_measured(run):
    [result] = run.memorization.history
    module = run.trainer.lightning_module
    expected = memloc.measure_unit_mem(
        getattr(module, run.example.backbone),
        Digits(),
        run.example.transform,
        MEMBERS,
        HOLDOUT,
        n_views=2,
    )
    assert result.layers_to_pandas()["layer"].tolist() == run.example.layers
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(table, expected.tables[name])
    assert (result.settings["epoch"], result.settings["step"]) == (0, 2)
    assert result.settings["entry"] == run.example.entry


def test_measured_winners_are_members(run):
    [result] = run.memorization.history
    units = result.to_pandas()
    filenames = Digits().filenames
    assert set(units["index"]) <= set(MEMBERS)
    assert units["filename"].tolist() == [filenames[i] for i in units["index"]]


def test_a_result_is_written_for_the_epoch(run):
    [result] = run.memorization.history
    [folder] = run.folder.glob("epoch=*/*")
    assert folder.relative_to(run.folder).as_posix() == "epoch=0/unit-mem"
    pd.testing.assert_frame_equal(load_result(folder).to_pandas(), result.to_pandas())


def test_online_winners_are_images_that_were_drawn(run):
    [result] = run.online.results
    units = result.to_pandas()
    assert result.settings["images"] == 2 * BATCH_SIZE
    assert set(units["index"]) <= set(run.witness.targets)
    assert units["filename"].tolist() == [str(i) for i in units["index"]]


def test_online_layers_are_those_of_the_backbone(run):
    [result] = run.online.results
    assert result.layers_to_pandas()["layer"].tolist() == run.example.layers


def test_online_units_agree_with_a_hook(run):
    [result] = run.online.results
    units = result.to_pandas().set_index("layer").loc[run.example.read]
    mu = torch.cat(run.witness.by_image)
    winner = np.array(run.witness.targets)[mu.argmax(dim=0)]
    alive = ~units["dead"].to_numpy()
    assert alive.any()
    np.testing.assert_allclose(units["mu_max"], mu.amax(dim=0), rtol=1e-5)
    np.testing.assert_allclose(units["unit_mem"], unit_mem(mu), rtol=1e-4, atol=1e-6)
    assert units["index"].to_numpy()[alive].tolist() == winner[alive].tolist()


@pytest.mark.parametrize("name", ["memorization", "online"])
def test_values_are_in_their_range(run, name):
    [result] = (
        run.memorization.history if name == "memorization" else run.online.results
    )
    values = result.to_pandas()["unit_mem"]
    assert values.between(0, 1).all()
    assert values.nunique() > 1


def test_scalars_of_each_layer_are_logged(run):
    logged = run.trainer.callback_metrics
    for layer in run.example.layers:
        assert 0 <= logged[f"unit_mem/{layer}"] <= 1
        assert 0 <= logged[f"unit_mem_online/{layer}"] <= 1
        assert 0 <= logged[f"member_share/{layer}"] <= 1


@pytest.mark.parametrize("name", ["MoCo", "MAE", "DINOv2", "LeJEPA"])
def test_epochs_after_a_measurement_go_on_as_without_callbacks(name, tmp_path):
    example = EXAMPLES_BY_NAME[name]
    loader = loader_of(DigitViews(example.transform), example.num_workers)
    options = {"max_epochs": 3, "limit_train_batches": 1}
    memorization = memloc.MemorizationCallback(
        Digits(),
        example.transform,
        MEMBERS,
        every_n_epochs=1,
        n_views=2,
        folder=tmp_path,
    )
    online = memloc.OnlineUnitMemCallback()
    witness = Witness(example.backbone, example.output)
    alone = fit(example.module, loader, **options)
    watched = fit(example.module, loader, [memorization, online, witness], **options)
    assert_same_training(watched, alone)
    assert [result.settings["step"] for result in memorization.history] == [1, 2, 3]
    assert len(online.results) == 3
    for result, targets in zip(
        online.results, np.split(np.array(witness.targets), 3), strict=True
    ):
        assert result.settings["images"] == BATCH_SIZE
        assert set(result.to_pandas()["index"]) <= set(targets)


class Names(pl.Callback):
    """The file names in the batches that were trained on."""

    def __init__(self):
        self.names = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.names += batch[2]


def fit_simclr(images, loader, folder):
    names = Names()
    memorization = memloc.MemorizationCallback(
        images, SIMCLR, indices=MEMBERS, holdout=HOLDOUT, n_views=2, folder=folder
    )
    online = memloc.OnlineUnitMemCallback()
    watched = fit(examples.SimCLR, loader, [memorization, online, names])
    alone = fit(examples.SimCLR, loader)
    assert_same_training(watched, alone)
    [result], [online_result] = memorization.history, online.results
    assert len(set(names.names)) == 2 * BATCH_SIZE
    for each in result, online_result:
        assert each.layers_to_pandas()["layer"].tolist() == RESNET
    return result.to_pandas(), online_result.to_pandas(), names.names


SIMCLR = EXAMPLES_BY_NAME["SimCLR"].transform


class TorchvisionDigits(DigitViews):
    """Items ``(image, target)`` with a transform that LightlyDataset sets."""

    def __init__(self):
        super().__init__(None)

    def __getitem__(self, index):
        image = self.images[index]
        return self.transform(image) if self.transform else image, index


def test_a_lightly_dataset_of_a_torch_dataset(tmp_path):
    def index_to_filename(dataset, index):
        return f"digit-{index}.png"

    images, dataset = (
        LightlyDataset.from_torch_dataset(
            TorchvisionDigits(), transform, index_to_filename=index_to_filename
        )
        for transform in (None, SIMCLR)
    )
    units, online, drawn = fit_simclr(images, loader_of(dataset), tmp_path)
    assert set(online["filename"]) == set(drawn)
    for table in units, online:
        expected = [f"digit-{index}.png" for index in table["index"]]
        assert table["filename"].tolist() == expected


def test_a_lightly_dataset_of_a_folder(tmp_path, digits):
    root = tmp_path / "images"
    for image, _, filename in (digits[index] for index in range(40)):
        path = root / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    images, dataset = (
        LightlyDataset(str(root), transform=transform) for transform in (None, SIMCLR)
    )
    units, online, drawn = fit_simclr(images, loader_of(dataset), tmp_path / "results")
    assert set(online["filename"]) == set(drawn)
    for table in units, online:
        assert all((root / name).is_file() for name in table["filename"])
        expected = [images.index_to_filename(images.dataset, i) for i in table["index"]]
        assert table["filename"].tolist() == expected


class StreamedDigits(IterableDataset):
    """Items ``(views, target, filename)``, or without file names, one after the other."""

    def __init__(self, named=True):
        self.digits = Digits()
        self.named = named

    def __iter__(self):
        for image, target, filename in self.digits:
            views = SIMCLR(image)
            yield (views, target, filename) if self.named else (views, target)


def test_a_stream_of_images_with_file_names(tmp_path, digits):
    _, online, drawn = fit_simclr(digits, loader_of(StreamedDigits()), tmp_path)
    assert drawn == digits.filenames[: 2 * BATCH_SIZE]
    assert set(online["filename"]) == set(drawn)
    assert set(online["index"]) == {-1}


def test_a_stream_of_images_without_file_names_is_left_out():
    online = memloc.OnlineUnitMemCallback()
    with (
        pytest.warns(MemorizationWarning, match="no sampler"),
        pytest.warns(MemorizationWarning, match="An epoch has no UnitMem result"),
    ):
        fit(examples.SimCLR, loader_of(StreamedDigits(named=False)), [online])
    assert online.results == []


def test_training_leaves_the_data_loader_as_it_was():
    example = EXAMPLES_BY_NAME["MAE"]
    loader = loader_of(DigitViews(example.transform))
    sampler = loader.batch_sampler.sampler
    fit(example.module, loader, [memloc.OnlineUnitMemCallback()])
    assert loader.batch_sampler.sampler is sampler
    assert len(copy.deepcopy(loader)) == len(loader)


def test_student_and_teacher_can_be_followed_side_by_side():
    example = EXAMPLES_BY_NAME["DINOv2"]
    loader = loader_of(DigitViews(example.transform))
    names = "student_backbone", "teacher_backbone"
    alone, *both = (memloc.OnlineUnitMemCallback(name) for name in (names[0], *names))
    fit(example.module, loader, [alone])
    fit(example.module, loader, both)
    [expected], [student], [teacher] = (each.results for each in (alone, *both))
    pd.testing.assert_frame_equal(student.to_pandas(), expected.to_pandas())
    assert teacher.layers_to_pandas()["layer"].tolist() == example.layers
    assert not teacher.to_pandas()["unit_mem"].equals(student.to_pandas()["unit_mem"])


class FailingOnce(examples.MAE):
    """Fails in its second training step, the first time that it comes there."""

    failed = False

    def training_step(self, batch, batch_idx):
        if batch_idx == 1 and not self.failed:
            self.failed = True
            raise RuntimeError("interrupted")
        return super().training_step(batch, batch_idx)


def test_training_that_failed_can_be_started_again():
    example = EXAMPLES_BY_NAME["MAE"]
    loader = loader_of(DigitViews(example.transform))
    online = memloc.OnlineUnitMemCallback()
    trainer, module = make_trainer([online]), FailingOnce()
    with pytest.raises(RuntimeError, match="interrupted"):
        trainer.fit(module, loader)
    trainer.fit(module, loader)
    [result] = online.results
    assert result.settings["images"] == 2 * BATCH_SIZE
