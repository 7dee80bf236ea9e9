import copy

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from lightly_memloc import (
    MemorizationCallback,
    MemorizationSplit,
    load_result,
    measure_layer_mem,
    measure_unit_mem,
)
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import load_epochs
from tests.evaluators.trainings import (
    BYOL,
    MSN,
    SimCLR,
    conv_net,
    loader,
    quiet_trainer,
)

MEMBERS = np.arange(20, 44)
HOLDOUT = np.arange(10)
STEPS_PER_EPOCH = 3


class Copies(pl.Callback):
    """A copy of the encoder and the step at each end of an epoch and of training."""

    def __init__(self):
        self.at_step = {}

    def on_train_epoch_end(self, trainer, pl_module):
        encoder = copy.deepcopy(pl_module.encoder_in_training)
        self.at_step[trainer.global_step] = encoder

    on_train_end = on_train_epoch_end


class MemoryLogger(Logger):
    """Keeps what it is given."""

    name = "memory"
    version = 0

    def __init__(self, experiment=None):
        super().__init__()
        self.logged = []
        self._experiment = experiment

    @property
    def experiment(self):
        return self._experiment

    def log_metrics(self, metrics, step=None):
        self.logged.append((step, dict(metrics)))

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def values(self, name):
        return [metrics[name] for _, metrics in self.logged if name in metrics]


class Figures:
    """An experiment that takes figures, as TensorBoard's writer does."""

    def __init__(self):
        self.figures = {}

    def add_figure(self, tag, figure, global_step=None):
        assert isinstance(figure, Figure)
        self.figures[tag, global_step] = figure


@pytest.fixture(autouse=True)
def _seeded():
    pl.seed_everything(0, verbose=False)


@pytest.fixture
def train_loader(digits, transform):
    return loader(digits, MEMBERS, transform)


@pytest.fixture
def split(digits):
    return MemorizationSplit(
        len(digits),
        candidate=np.arange(20, 30),
        independent=np.arange(44, 52),
        external=np.arange(8),
    )


@pytest.fixture
def make(digits, transform):
    """Make a callback on the images of the training."""

    def make_callback(**options):
        defaults = {"indices": MEMBERS, "holdout": HOLDOUT, "n_views": 2}
        if "split" in options:
            defaults = {"n_views": 2}
        return MemorizationCallback(digits, transform, **defaults | options)

    return make_callback


@pytest.fixture
def unit_mem(digits, transform):
    def measured(encoder):
        return measure_unit_mem(encoder, digits, transform, MEMBERS, HOLDOUT, n_views=2)

    return measured


def moments(results):
    return [(r.settings["epoch"], r.settings["step"]) for r in results]


def assert_same(result, expected):
    moment = {name: result.settings[name] for name in ("epoch", "step")}
    assert result.settings == expected.settings | moment
    assert type(result) is type(expected)
    assert result.tables.keys() == expected.tables.keys()
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(table, expected.tables[name], check_exact=True)


def test_it_measures_every_few_epochs_and_at_the_end(
    tmp_path, make, train_loader, unit_mem
):
    callback, copies, method = make(every_n_epochs=2), Copies(), SimCLR()
    trainer = quiet_trainer(tmp_path, callback, copies, max_epochs=5)
    trainer.fit(method, train_loader)
    assert moments(callback.history) == [(1, 6), (3, 12), (4, 15)]
    for result in callback.history:
        assert_same(result, unit_mem(copies.at_step[result.settings["step"]]))
    last = callback.history[-1].scalars()["unit_mem/0"]
    assert float(trainer.callback_metrics["unit_mem/0"]) == pytest.approx(last)
    first, second = (result.to_pandas()["mu_max"] for result in callback.history[:2])
    assert not np.allclose(first, second)


def test_a_last_epoch_that_is_due_is_measured_once(tmp_path, make, train_loader):
    callback = make(every_n_epochs=2)
    trainer = quiet_trainer(tmp_path, callback, max_epochs=4)
    trainer.fit(SimCLR(), train_loader)
    assert moments(callback.history) == [(1, 6), (3, 12)]


@pytest.mark.parametrize(
    ("max_steps", "expected"),
    [
        # Within the third epoch, and with its last step.
        (2 * STEPS_PER_EPOCH + 1, [(1, 6), (2, 7)]),
        (3 * STEPS_PER_EPOCH, [(1, 6), (2, 9)]),
        (2 * STEPS_PER_EPOCH, [(1, 6)]),
    ],
)
def test_training_that_ends_by_its_steps_is_measured_at_the_end(
    tmp_path, make, train_loader, unit_mem, max_steps, expected
):
    logger = MemoryLogger()
    callback, copies = make(every_n_epochs=2, folder=tmp_path / "results"), Copies()
    trainer = quiet_trainer(
        tmp_path, callback, copies, max_epochs=-1, max_steps=max_steps, logger=logger
    )
    trainer.fit(SimCLR(), train_loader)
    for result in callback.history:
        assert_same(result, unit_mem(copies.at_step[result.settings["step"]]))
    logged = logger.values("unit_mem/0")
    measured = [result.scalars()["unit_mem/0"] for result in callback.history]
    assert logged == pytest.approx(measured)
    # An epoch's number is that of the epoch that was trained, however it ended.
    assert moments(callback.history) == expected
    folders = {path.name for path in (tmp_path / "results").iterdir()}
    assert folders == {f"epoch={epoch}" for epoch, _ in expected}


class Stop(pl.Callback):
    """Ask for the end of training in the middle of an epoch."""

    def __init__(self, epoch, batch):
        self.moment = epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.moment:
            trainer.should_stop = True


def test_training_that_is_stopped_within_an_epoch_is_measured_once(
    tmp_path, make, train_loader, unit_mem
):
    callback, copies = make(every_n_epochs=10), Copies()
    trainer = quiet_trainer(tmp_path, Stop(1, 1), callback, copies, max_epochs=20)
    trainer.fit(SimCLR(), train_loader)
    assert moments(callback.history) == [(1, 5)]
    assert_same(callback.history[0], unit_mem(copies.at_step[5]))


@pytest.mark.parametrize("comes_first", [True, False])
def test_training_that_stops_early_is_measured_once(
    tmp_path, make, train_loader, unit_mem, comes_first
):
    stopping = EarlyStopping("train_loss", divergence_threshold=-1.0)
    callback, copies = make(every_n_epochs=10), Copies()
    callbacks = [callback, stopping] if comes_first else [stopping, callback]
    trainer = quiet_trainer(tmp_path, *callbacks, copies, max_epochs=20)
    trainer.fit(SimCLR(), train_loader)
    assert trainer.global_step == STEPS_PER_EPOCH
    assert_same(callback.history[0], unit_mem(copies.at_step[3]))
    assert moments(callback.history) == [(0, 3)]


def test_a_stop_that_has_to_wait_for_min_epochs_is_measured_at_the_end_alone(
    tmp_path, make, train_loader
):
    callback = make(every_n_epochs=10)
    trainer = quiet_trainer(tmp_path, Stop(0, 1), callback, min_epochs=3, max_epochs=20)
    trainer.fit(SimCLR(), train_loader)
    steps = [result.settings["step"] for result in callback.history]
    assert steps == [trainer.global_step]
    assert trainer.global_step >= 3 * STEPS_PER_EPOCH - 1


def test_a_split_measures_layer_mem_and_its_roles(
    tmp_path, make, train_loader, digits, transform, split
):
    callback, copies = make(split=split), Copies()
    trainer = quiet_trainer(tmp_path, callback, copies, max_epochs=1)
    trainer.fit(SimCLR(), train_loader)
    encoder = copies.at_step[STEPS_PER_EPOCH]
    unit, layer = callback.history
    assert_same(
        unit,
        measure_unit_mem(encoder, digits, transform, split=split, n_views=2),
    )
    assert_same(
        layer, measure_layer_mem(encoder, None, digits, split, transform, n_views=2)
    )


def test_options_reach_the_measurement(tmp_path, make, train_loader, digits, transform):
    options = {"layers": "4", "n_views": 3, "batch_size": 7, "seed": 5}
    callback, copies = make(backbone="trunk.0", **options), Copies()

    class Wrapped(SimCLR):
        def __init__(self):
            super().__init__(name="trunk", encoder=nn.Sequential(conv_net()))

    trainer = quiet_trainer(tmp_path, callback, copies, max_epochs=1)
    trainer.fit(Wrapped(), train_loader)
    [result] = callback.history
    encoder = copies.at_step[STEPS_PER_EPOCH][0]
    expected = measure_unit_mem(encoder, digits, transform, MEMBERS, HOLDOUT, **options)
    assert_same(result, expected)
    assert result.to_pandas()["layer"].unique().tolist() == ["4"]


def test_scalars_reach_callbacks_loggers_and_the_history(
    tmp_path, make, train_loader, split
):
    logger = MemoryLogger()
    callback = make(split=split, every_n_epochs=1, folder=tmp_path / "results")
    trainer = quiet_trainer(tmp_path, callback, max_epochs=2, logger=logger)
    trainer.fit(SimCLR(), train_loader)
    by_epoch = [
        results[0].scalars() | results[1].scalars()
        for results in (callback.history[:2], callback.history[2:])
    ]
    assert {name.split("/")[0] for name in by_epoch[0]} == {
        "unit_mem",
        "member_share",
        "gap",
        "alignment_gap",
    }
    for name in by_epoch[0]:
        expected = [scalars[name] for scalars in by_epoch]
        assert logger.values(name) == pytest.approx(expected, rel=1e-6)
        last = float(trainer.callback_metrics[name])
        assert last == pytest.approx(expected[1], rel=1e-6)
    history = callback.history_to_pandas()
    assert list(history.columns) == ["epoch", "step", "name", "value"]
    for epoch, scalars in enumerate(by_epoch):
        rows = history[history["epoch"] == epoch]
        assert dict(zip(rows["name"], rows["value"], strict=True)) == scalars
        assert set(rows["step"]) == {(epoch + 1) * STEPS_PER_EPOCH}


def test_other_callbacks_can_monitor_what_is_measured(tmp_path, make, train_loader):
    callback = make(every_n_epochs=1)
    monitor = ModelCheckpoint(
        tmp_path / "best", monitor="unit_mem/0", filename="best", mode="max"
    )
    trainer = quiet_trainer(
        tmp_path, monitor, callback, max_epochs=3, enable_checkpointing=True
    )
    trainer.fit(SimCLR(), train_loader)
    values = [result.scalars()["unit_mem/0"] for result in callback.history]
    assert float(monitor.best_model_score) == pytest.approx(max(values))


def test_figures_go_to_loggers_that_take_them(tmp_path, make, train_loader, split):
    takes, others = MemoryLogger(Figures()), MemoryLogger(object())
    trainer = quiet_trainer(
        tmp_path,
        make(split=split, every_n_epochs=1, folder=tmp_path / "results"),
        max_epochs=2,
        logger=[others, takes],
    )
    trainer.fit(SimCLR(), train_loader)
    assert set(takes.experiment.figures) == {
        (f"memorization/{name}", step)
        for name in ("unit_mem", "member_share", "layer_mem")
        for step in (3, 6)
    }
    assert all(figure.axes for figure in takes.experiment.figures.values())


def test_results_on_disk_are_those_of_the_history(tmp_path, make, train_loader, split):
    callback = make(split=split, every_n_epochs=1, folder=tmp_path / "results")
    trainer = quiet_trainer(tmp_path, callback, max_epochs=2)
    trainer.fit(SimCLR(), train_loader)
    names = ["unit-mem", "layer-mem"] * 2
    for result, name in zip(callback.history, names, strict=True):
        epoch = result.settings["epoch"]
        loaded = load_result(tmp_path / "results" / f"epoch={epoch}" / name)
        assert loaded.settings == result.settings
        for table, expected in result.tables.items():
            pd.testing.assert_frame_equal(
                loaded.tables[table], expected, check_dtype=False
            )


def test_results_go_to_the_log_folder_by_default(tmp_path, make, train_loader):
    trainer = quiet_trainer(tmp_path, make(), max_epochs=1)
    trainer.fit(SimCLR(), train_loader)
    loaded = load_result(tmp_path / "memorization" / "epoch=0" / "unit-mem")
    assert loaded.settings["step"] == STEPS_PER_EPOCH


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("holdout_first", [True, False])
def test_a_fast_dev_run_tries_everything_and_writes_nothing(
    tmp_path, monkeypatch, make, train_loader, batch_size, batches, holdout_first
):
    monkeypatch.chdir(tmp_path)
    holdout = np.arange(20) if holdout_first else np.arange(44, 64)
    callback = make(holdout=holdout, batch_size=batch_size, folder=tmp_path / "results")
    trainer = quiet_trainer(tmp_path, callback, fast_dev_run=batches)
    method = SimCLR()
    trainer.fit(method, train_loader)
    assert len(callback.history) == 1
    assert trainer.global_step == batches
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_fast_dev_run_of_few_images_tries_members_wherever_they_are(
    tmp_path, make, train_loader, seed
):
    images = np.random.default_rng(seed).permutation(48)
    callback = make(indices=images[:24], holdout=images[24:], batch_size=4)
    trainer = quiet_trainer(tmp_path, callback, fast_dev_run=True)
    trainer.fit(SimCLR(), train_loader)
    [result] = callback.history
    assert result.layers_to_pandas()["member_share"].notna().all()


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("external_first", [True, False])
@pytest.mark.parametrize("has_reference", [True, False])
def test_a_fast_dev_run_tries_layer_mem(
    tmp_path, monkeypatch, digits, make, train_loader, batch_size, external_first,
    has_reference,
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    external = np.arange(15) if external_first else np.arange(50, 65)
    split = MemorizationSplit(
        len(digits),
        candidate=np.arange(20, 30),
        independent=np.arange(44, 50),
        external=external,
    )
    callback = make(
        split=split,
        reference=conv_net() if has_reference else None,
        batch_size=batch_size,
    )
    trainer = quiet_trainer(tmp_path, callback, fast_dev_run=True)
    trainer.fit(SimCLR(), train_loader)
    assert [result.kind for result in callback.history] == ["unit-mem", "layer-mem"]
    assert list(tmp_path.rglob("*")) == []


def test_a_sanity_check_and_validation_measure_nothing(
    tmp_path, make, train_loader, digits, transform, unit_mem
):
    callback, copies = make(every_n_epochs=2), Copies()
    trainer = quiet_trainer(
        tmp_path, callback, copies, max_epochs=2, num_sanity_val_steps=2
    )
    checked = []

    class Checked(pl.Callback):
        def on_sanity_check_end(self, trainer, pl_module):
            checked.append(len(callback.history))

    trainer.callbacks.append(Checked())
    method = SimCLR()
    trainer.fit(method, train_loader, loader(digits, HOLDOUT, transform))
    assert checked == [0]
    assert moments(callback.history) == [(1, 6)]
    assert_same(callback.history[0], unit_mem(copies.at_step[6]))
    trainer.validate(method, loader(digits, HOLDOUT, transform), verbose=False)
    assert len(callback.history) == 1


def test_a_resumed_training_continues_the_history(
    tmp_path, make, train_loader, unit_mem
):
    first = make(every_n_epochs=1, folder=tmp_path / "results")
    trainer = quiet_trainer(tmp_path, first, max_epochs=2)
    trainer.fit(SimCLR(), train_loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")

    pl.seed_everything(1, verbose=False)
    second = make(every_n_epochs=1, folder=tmp_path / "results")
    copies = Copies()
    trainer = quiet_trainer(tmp_path, second, copies, max_epochs=4)
    trainer.fit(SimCLR(), train_loader, ckpt_path=tmp_path / "last.ckpt")
    assert moments(second.history) == [(2, 9), (3, 12)]
    for result in second.history:
        assert_same(result, unit_mem(copies.at_step[result.settings["step"]]))
    history = second.history_to_pandas()
    before = first.history_to_pandas()
    pd.testing.assert_frame_equal(history[: len(before)], before)
    n_scalars = len(first.history[0].scalars())
    assert history["epoch"].tolist() == np.repeat([0, 1, 2, 3], n_scalars).tolist()
    for result in second.history:
        rows = history[history["step"] == result.settings["step"]]
        assert dict(zip(rows["name"], rows["value"], strict=True)) == result.scalars()
    folders = {path.name for path in (tmp_path / "results").iterdir()}
    assert folders == {f"epoch={epoch}" for epoch in range(4)}


def test_a_checkpoint_written_in_training_holds_that_epoch(
    tmp_path, make, train_loader
):
    keep = ModelCheckpoint(tmp_path / "kept", save_top_k=-1, filename="{epoch}")
    # The order of callbacks does not matter.
    trainer = quiet_trainer(
        tmp_path, keep, make(every_n_epochs=1), max_epochs=2, enable_checkpointing=True
    )
    trainer.fit(SimCLR(), train_loader)

    resumed = make(every_n_epochs=1)
    trainer = quiet_trainer(tmp_path, resumed, max_epochs=2)
    trainer.fit(SimCLR(), train_loader, ckpt_path=tmp_path / "kept" / "epoch=0.ckpt")
    steps = resumed.history_to_pandas()["step"].unique().tolist()
    assert steps == [3, 6]
    assert moments(resumed.history) == [(1, 6)]


def test_accumulated_gradients_count_as_one_step(
    tmp_path, make, train_loader, unit_mem
):
    callback, copies = make(every_n_epochs=1), Copies()
    trainer = quiet_trainer(
        tmp_path, callback, copies, max_epochs=2, accumulate_grad_batches=2
    )
    trainer.fit(SimCLR(), train_loader)
    assert moments(callback.history) == [(0, 2), (1, 4)]
    for result in callback.history:
        assert_same(result, unit_mem(copies.at_step[result.settings["step"]]))


def test_mixed_precision_trains_and_measures_in_full(
    tmp_path, make, train_loader, unit_mem
):
    callback, copies = make(), Copies()
    trainer = quiet_trainer(
        tmp_path, callback, copies, max_epochs=1, precision="bf16-mixed"
    )
    trainer.fit(SimCLR(), train_loader)
    [result] = callback.history
    assert_same(result, unit_mem(copies.at_step[STEPS_PER_EPOCH]))


def train_reference(tmp_path, method, train_loader):
    """Another encoder and the checkpoint of its training."""
    trainer = quiet_trainer(tmp_path, max_epochs=1)
    trainer.fit(method, train_loader)
    path = tmp_path / "reference.ckpt"
    trainer.save_checkpoint(path)
    return path


@pytest.mark.parametrize("given", ["module", "checkpoint", "state dict", "str"])
def test_a_reference_gives_layer_mem(
    tmp_path, make, train_loader, digits, transform, split, given
):
    other = SimCLR()
    path = train_reference(tmp_path, other, train_loader)
    other.backbone.train()
    reference = {"module": other.backbone, "checkpoint": path, "str": str(path)}.get(
        given
    )
    if given == "state dict":
        reference = tmp_path / "encoder.pt"
        torch.save(other.backbone.state_dict(), reference)
    expected_weights = copy.deepcopy(other.backbone.state_dict())
    callback, copies = make(split=split, reference=reference), Copies()
    trainer = quiet_trainer(tmp_path, callback, copies, max_epochs=1)
    trainer.fit(SimCLR(), train_loader)
    expected = measure_layer_mem(
        copies.at_step[STEPS_PER_EPOCH],
        other.backbone,
        digits,
        split,
        transform,
        n_views=2,
    )
    _, result = callback.history
    assert result.to_pandas()["symmetric"].abs().max() > 0
    assert_same(result, expected)
    # The reference stays as it was given.
    assert other.backbone.training
    for name, value in other.backbone.state_dict().items():
        assert torch.equal(value, expected_weights[name])


@pytest.mark.parametrize(
    "make_method",
    [lambda: SimCLR(name="student_backbone"), MSN],
    ids=["another name", "a frozen encoder is called backbone"],
)
def test_of_a_reference_checkpoint_the_same_encoder_is_taken(
    tmp_path, make, train_loader, digits, transform, split, make_method
):
    other = make_method()
    path = train_reference(tmp_path, other, train_loader)
    callback, copies = make(split=split, reference=path), Copies()
    trainer = quiet_trainer(tmp_path, callback, copies, max_epochs=1)
    trainer.fit(make_method(), train_loader)
    expected = measure_layer_mem(
        copies.at_step[STEPS_PER_EPOCH],
        other.encoder_in_training,
        digits,
        split,
        transform,
        n_views=2,
    )
    assert_same(callback.history[1], expected)


def test_a_reference_without_a_split_is_refused(make):
    with pytest.raises(MemorizationError, match="needs a split"):
        make(reference=conv_net())


@pytest.mark.parametrize("given", ["module", "state dict", "no file"])
def test_a_reference_that_does_not_fit_is_refused_before_training(
    tmp_path, make, train_loader, split, given
):
    wider = conv_net(width=6)
    torch.save(wider.state_dict(), tmp_path / "wider.pt")
    reference, message = {
        "module": (wider, r"0\.weight has shape \(4, 3, 3, 3\) in f and \(6, 3, 3, 3"),
        "state dict": (
            tmp_path / "wider.pt",
            r"wider\.pt does not match.*0\.weight \(6, 3, 3, 3\) instead of \(4, 3",
        ),
        "no file": (tmp_path / "none.pt", r"no checkpoint .*none\.pt"),
    }[given]
    method = SimCLR()
    before = copy.deepcopy(method.state_dict())
    trainer = quiet_trainer(
        tmp_path, make(split=split, reference=reference), max_epochs=1
    )
    with pytest.raises(MemorizationError, match=message):
        trainer.fit(method, train_loader)
    assert trainer.global_step == 0
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_unknown_evaluator_is_refused(make):
    with pytest.raises(MemorizationError, match=r"no evaluator 'unit_men'.*unit_mem"):
        make(evaluators=["unit_men"])


def test_layer_mem_without_roles_is_refused_before_training(
    tmp_path, make, train_loader
):
    callback = make(evaluators=["layer_mem"], holdout=None)
    trainer = quiet_trainer(tmp_path, callback, max_epochs=1)
    with pytest.raises(MemorizationError, match="Pass a split or a holdout"):
        trainer.fit(SimCLR(), train_loader)
    assert trainer.global_step == 0


def test_a_backbone_that_is_not_there_is_refused_before_training(
    tmp_path, make, train_loader
):
    trainer = quiet_trainer(tmp_path, make(backbone="student"), max_epochs=1)
    with pytest.raises(MemorizationError, match="SimCLR has backbone"):
        trainer.fit(SimCLR(), train_loader)
    assert trainer.global_step == 0


@pytest.mark.parametrize("every_n_epochs", [0, -1])
def test_measuring_never_is_refused(make, every_n_epochs):
    with pytest.raises(MemorizationError, match="every_n_epochs"):
        make(every_n_epochs=every_n_epochs)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("method_class", [SimCLR, BYOL])
def test_training_goes_on_as_if_the_callback_was_not_there(
    tmp_path, make, train_loader, split, method_class, precision
):
    def trained(*callbacks):
        pl.seed_everything(7, verbose=False)
        method = method_class()
        trainer = quiet_trainer(tmp_path, *callbacks, max_epochs=3, precision=precision)
        trainer.fit(method, train_loader)
        momentum = [
            state["momentum_buffer"]
            for state in trainer.optimizers[0].state.values()
            if state.get("momentum_buffer") is not None
        ]
        modes = [module.training for module in method.modules()]
        generators = torch.get_rng_state(), np.random.get_state()[1]
        return method.state_dict(), momentum, modes, generators

    callback = make(split=split, reference=conv_net(), every_n_epochs=1)
    weights, momentum, modes, generators = trained()
    others, other_momentum, other_modes, other_generators = trained(callback)
    assert len(callback.history) == 6
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name
    for one, other in zip(momentum, other_momentum, strict=True):
        assert torch.equal(one, other)
    assert modes == other_modes
    assert torch.equal(generators[0], other_generators[0])
    assert np.array_equal(generators[1], other_generators[1])


def test_two_callbacks_measure_side_by_side(tmp_path, make, train_loader):
    one = make(every_n_epochs=1, layers="0", folder=tmp_path / "one")
    two = make(every_n_epochs=2, layers="4", folder=tmp_path / "two")
    trainer = quiet_trainer(tmp_path, one, two, max_epochs=2)
    trainer.fit(SimCLR(), train_loader)
    assert moments(one.history) == [(0, 3), (1, 6)]
    assert moments(two.history) == [(1, 6)]


def test_tensorboard_gets_scalars_and_figures(tmp_path, make, train_loader):
    logger = TensorBoardLogger(tmp_path, name="logs", version="run")
    callback = make(every_n_epochs=1)
    trainer = quiet_trainer(tmp_path, callback, max_epochs=2, logger=logger)
    trainer.fit(SimCLR(), train_loader)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    for tag in ("unit_mem/0", "member_share/0", "gap/0"):
        logged = [event.value for event in events.Scalars(tag)]
        expected = [result.scalars()[tag] for result in callback.history]
        assert logged == pytest.approx(expected, rel=1e-6)
    for tag in ("memorization/unit_mem", "memorization/member_share"):
        images = events.Images(tag)
        assert [image.step for image in images] == [STEPS_PER_EPOCH, 6]
        # As wide as a page shows it on a phone, or wider.
        assert images[0].width >= 400
    saved = load_result(f"{logger.log_dir}/memorization/epoch=1/unit-mem")
    assert saved.settings == callback.history[-1].settings


class Two(SimCLR):
    """A second encoder, which the loss does not see."""

    def __init__(self):
        super().__init__()
        self.second = conv_net()


def test_later_callbacks_have_names_and_folders_of_their_own(
    tmp_path, digits, transform
):
    pl.seed_everything(0, verbose=False)
    callbacks = [
        MemorizationCallback(
            digits, transform, MEMBERS, backbone=name, layers=layers, n_views=2
        )
        for name, layers in (("backbone", "auto"), ("second", "auto"), ("second", "0"))
    ]
    trainer = quiet_trainer(tmp_path, *callbacks, max_epochs=1)
    trainer.fit(Two(), loader(digits, MEMBERS, transform))
    prefixes = ["", "second/", "second-2/"]
    for callback, prefix in zip(callbacks, prefixes, strict=True):
        [result] = callback.history
        for name, value in result.scalars().items():
            logged = float(trainer.callback_metrics[prefix + name])
            assert logged == pytest.approx(value, rel=1e-6)
        [saved] = load_epochs(tmp_path / "memorization" / prefix)
        assert saved.scalars() == pytest.approx(result.scalars())
    first, second, _ = (callback.history[0].scalars() for callback in callbacks)
    assert first["unit_mem/0"] != second["unit_mem/0"]


def test_a_second_fit_of_as_many_steps_is_measured_again(tmp_path, digits, transform):
    callback = MemorizationCallback(digits, transform, MEMBERS, n_views=2)
    for seed in range(2):
        pl.seed_everything(seed, verbose=False)
        trainer = quiet_trainer(tmp_path, callback, max_epochs=-1, max_steps=1)
        trainer.fit(SimCLR(), loader(digits, MEMBERS, transform))
    assert [result.settings["step"] for result in callback.history] == [1, 1]
    one, other = (result.scalars()["unit_mem/0"] for result in callback.history)
    assert one != other


def test_epochs_of_earlier_versions_are_read(tmp_path, digits, transform):
    pl.seed_everything(0, verbose=False)
    callback = MemorizationCallback(
        digits, transform, MEMBERS, n_views=2, every_n_epochs=1
    )
    trainer = quiet_trainer(tmp_path, callback, max_epochs=2)
    trainer.fit(SimCLR(), loader(digits, MEMBERS, transform))
    folder = tmp_path / "memorization"
    (folder / "epoch=0" / "unit-mem").rename(folder / "epoch=0" / "unit_mem")
    epochs = [result.settings["epoch"] for result in load_epochs(folder)]
    assert epochs == [0, 1]
