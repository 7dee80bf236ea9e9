import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from lightly_memloc import (
    OnlineUnitMemCallback,
)
from lightly_memloc.errors import MemorizationWarning


class Pixels(Dataset):
    """Twelve images; an item is None, or comes with a name, if asked for."""

    def __init__(self, missing=(), named=False):
        generator = torch.Generator().manual_seed(1)
        self.images = torch.rand(12, 3, 8, 8, generator=generator)
        self.missing, self.named = missing, named
        self.filenames = [f"{index}.png" for index in range(12)]

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index in self.missing:
            return None
        name = [self.filenames[index]] if self.named else []
        return self.images[index], 0, *name


class Still(pl.LightningModule):
    """Trains nothing: the learning rate is 0. Some steps do not run the encoder."""

    def __init__(self, without=(), action=None):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
        self.without, self.action = without, action

    def training_step(self, batch, batch_idx):
        if batch_idx in self.without:
            return None
        if self.action is not None:
            return self.action(self.backbone, batch)
        return self.backbone(batch[0]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def follow(module, loader, *callbacks, n_epochs=1):
    online = OnlineUnitMemCallback()
    trainer = pl.Trainer(
        max_epochs=n_epochs,
        callbacks=[*callbacks, online],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    assert "training_step" not in vars(module)
    assert not {"batch_to_device", "process_dataloader"} & vars(trainer.strategy).keys()
    return online.results


def assert_measured_on(result, module, data, indices):
    """Compare with a maximum over activations worked out without hooks."""
    with torch.no_grad():
        mu = module.backbone[:2](data.images[indices]).mean((2, 3)).double()
    largest, winner = mu.max(dim=0)
    rest = (mu.sum(dim=0) - largest) / (len(indices) - 1)
    units = result.to_pandas()
    assert result.settings["images"] == len(indices)
    assert units["index"].tolist() == [indices[place] for place in winner.tolist()]
    assert units["mu_max"].tolist() == pytest.approx(largest.tolist(), rel=1e-5)
    assert units["mu_rest"].tolist() == pytest.approx(rest.tolist(), rel=1e-5)


def present(items):
    return default_collate([item for item in items if item is not None])


def each_twice(items):
    return default_collate([item for item in items for _ in range(2)])


def backwards(items):
    return default_collate(items[::-1])


def last_replaces_first(items):
    return default_collate([items[-1], *items[1:]])


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("collate", "missing", "indices"),
    [
        (present, {0, 5, 6}, [1, 2, 3, 4, 7, 8, 9, 10, 11]),
        (each_twice, set(), list(range(12))),
        (backwards, set(), list(range(12))),
        (last_replaces_first, set(), [1, 2, 3, 5, 6, 7, 9, 10, 11]),
    ],
)
def test_rows_are_the_images_that_a_collate_function_left(
    collate, missing, indices, named
):
    data, module = Pixels(missing, named), Still()
    loader = DataLoader(data, 4, collate_fn=collate)
    for result in follow(module, loader, n_epochs=2):
        assert_measured_on(result, module, data, indices)
    assert loader.collate_fn is collate


def test_names_tell_the_images_that_worker_processes_collate():
    data, module = Pixels({0, 5, 6}, named=True), Still()
    (result,) = follow(module, DataLoader(data, 4, collate_fn=present, num_workers=1))
    assert_measured_on(result, module, data, [1, 2, 3, 4, 7, 8, 9, 10, 11])


def test_batches_whose_images_cannot_be_told_are_left_out():
    data, module = Pixels({0, 5}), Still()
    loader = DataLoader(data, 4, collate_fn=present, num_workers=1)
    with pytest.warns(
        MemorizationWarning, match="UnitMem leaves out batches"
    ) as caught:
        (result,) = follow(module, loader)
    assert sum("leaves out" in str(warning.message) for warning in caught) == 1
    assert_measured_on(result, module, data, [8, 9, 10, 11])


def none_if_missing(items):
    return None if None in items else default_collate(items)


@pytest.mark.filterwarnings("ignore:.*yielded None")
@pytest.mark.parametrize("missing", [1, 6])
def test_a_batch_that_is_none_does_not_shift_the_others(missing):
    data, module = Pixels({missing}), Still()
    (result,) = follow(module, DataLoader(data, 4, collate_fn=none_if_missing))
    start = missing // 4 * 4
    kept = [index for index in range(12) if not start <= index < start + 4]
    assert_measured_on(result, module, data, kept)


@pytest.mark.parametrize("without", [{0}, {1}, {0, 1}])
def test_a_training_step_without_the_encoder_is_not_counted(without):
    data, module = Pixels(), Still(without)
    (result,) = follow(module, DataLoader(data, 4))
    kept = [index for index in range(12) if index // 4 not in without]
    assert_measured_on(result, module, data, kept)


def test_an_epoch_without_images_warns():
    data, module = Pixels(), Still({0, 1, 2})
    with pytest.warns(MemorizationWarning, match="epoch has no UnitMem result.* had 0"):
        assert follow(module, DataLoader(data, 4), n_epochs=2) == []


def test_steps_that_are_skipped_are_not_counted():
    data, module = Pixels(), Still()
    module.on_train_batch_start = lambda batch, batch_idx: (
        -1 if (module.current_epoch, batch_idx) == (0, 1) else None
    )
    first, second = follow(module, DataLoader(data, 4), n_epochs=2)
    assert_measured_on(first, module, data, [0, 1, 2, 3])
    assert_measured_on(second, module, data, list(range(12)))


class Probe(pl.Callback):
    """Runs the encoder on bright images around the training step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        pl_module.backbone(9 * torch.ones_like(batch[0]))

    def on_before_backward(self, trainer, pl_module, loss):
        pl_module.backbone(9 * torch.ones(4, 3, 8, 8))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        pl_module.backbone(9 * torch.ones(5, 3, 8, 8))


def test_a_probe_of_another_callback_is_not_counted():
    data, module = Pixels(), Still()
    (result,) = follow(module, DataLoader(data, 4), Probe())
    assert_measured_on(result, module, data, list(range(12)))


@pytest.mark.parametrize("mode", ["max_size_cycle", "min_size"])
def test_several_loaders_are_left_out(mode):
    module = Still(
        action=lambda backbone, batch: backbone(torch.rand(4, 3, 8, 8)).sum()
    )
    loaders = {name: DataLoader(Pixels(), 4) for name in "ab"}
    with pytest.warns(MemorizationWarning, match="several data loaders"):
        assert follow(module, CombinedLoader(loaders, mode)) == []


def test_steps_of_other_rows_or_infinite_values_are_left_out():
    def action(backbone, batch):
        if 4 in batch[1]:
            return backbone(batch[0][:3]).mean()
        if 8 in batch[1]:
            return backbone(batch[0] / 0).mean()
        return backbone(batch[0]).mean()

    data, module = Pixels(), Still(action=action)
    loader = DataLoader(data, 4, collate_fn=numbered)
    module.automatic_optimization = False
    with pytest.warns(
        MemorizationWarning, match="returned 3 rows for .* 4 images"
    ) as all_:
        (result,) = follow(module, loader)
    assert sum("leaves out" in str(warning.message) for warning in all_) == 1
    assert_measured_on(result, module, data, [0, 1, 2, 3])


def numbered(items):
    """Targets are the images' indices in the data."""
    images = torch.stack([image for image, _ in items])
    every = Pixels().images
    return images, [int((every == image).all((1, 2, 3)).nonzero()) for image in images]


def test_two_callbacks_follow_the_same_images():
    data, module = Pixels(), Still()
    other = OnlineUnitMemCallback()
    (result,) = follow(module, DataLoader(data, 4, collate_fn=each_twice), other)
    assert_measured_on(result, module, data, list(range(12)))
    assert_measured_on(other.results[0], module, data, list(range(12)))


def test_the_module_is_put_back_when_a_step_fails():
    def fail(backbone, batch):
        raise RuntimeError("out of memory")

    module = Still(action=fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        follow(module, DataLoader(Pixels(), 4))
    assert "training_step" not in vars(module)
    assert not any(part._forward_hooks for part in module.backbone.modules())


class Stream(IterableDataset):
    """Images without a sampler; the last four come without a name."""

    def __iter__(self):
        data = Pixels(named=True)
        return (data[index][: 3 if index < 8 else 2] for index in range(12))


def test_batches_of_a_stream_without_names_are_left_out():
    module = Still()
    with pytest.warns(MemorizationWarning, match="no sampler.* no file names"):
        (result,) = follow(module, DataLoader(Stream(), 4))
    assert result.settings["images"] == 8
    with torch.no_grad():
        mu = module.backbone[:2](Pixels().images[:8]).mean((2, 3))
    expected = [f"{index}.png" for index in mu.argmax(dim=0).tolist()]
    assert result.to_pandas()["filename"].tolist() == expected
