"""Measure in two processes that a Trainer starts; the folder holds the task."""

import torch
from pytorch_lightning import Trainer
from torch import distributed

import lightly_memloc as memloc
from lightly_memloc.data import Digits, Study
from lightly_memloc.errors import MemorizationError
from tests.evaluators.tiny import OnlyBlackIsNegative, Shades, Tiny, Unlabelled

# Images of different processes, in the order of neither names nor processes.
BROKEN = (5, 8, 13)


def main(folder):
    torch.set_num_threads(1)
    encoders, split, transform = torch.load(folder / "task.pt", weights_only=False)
    study = Study(Digits(), transform, split, n_views=2)
    f, g = encoders
    evaluators = {
        "unit": memloc.UnitMemEvaluator(f, study, batch_size=4),
        "layer": memloc.LayerMemEvaluator(f, study, g, batch_size=4),
    }
    for name, evaluator in evaluators.items():
        trainer = Trainer(
            accelerator="cpu",
            devices=2,
            strategy="ddp",
            logger=False,
            enable_progress_bar=False,
        )
        trainer.validate(evaluator, verbose=False)
        evaluator.result.save(folder / f"{name}-{trainer.global_rank}")
    assert distributed.get_world_size() == 2
    resume(folder, transform)
    negative_in_one_process(folder, transform)
    few_images(folder, transform)
    fail_in_one_process(folder, transform)
    # What is written is complete when either of them ends.
    distributed.barrier()


def model_of_both(rank):
    """A model whose statistics differ in the second process."""
    torch.manual_seed(0)
    model = Tiny()
    model.norm.running_mean += rank
    return model


def measure_shades(model, transform, state_file=None, reads=None):
    return memloc.measure_unit_mem(
        model,
        Shades(broken=BROKEN, reads=reads),
        transform,
        indices=range(13),
        holdout=range(13, 24),
        n_views=2,
        batch_size=2,
        skip_unreadable=True,
        state_file=state_file,
    )


def resume(folder, transform):
    """Measure, interrupted once, images some of which cannot be read."""
    rank = distributed.get_rank()
    model, state = model_of_both(rank), folder / "state"
    try:
        measure_shades(model, transform, state, reads=8)
    except KeyboardInterrupt:
        written = [file for file in folder.glob("state*") if file.is_file()]
        torch.save([file.name for file in written], folder / f"written-{rank}.pt")
        kept = folder / f"state.rank{rank}"
        (folder / f"kept-{rank}").write_bytes(kept.read_bytes())
    distributed.barrier()
    measure_shades(model, transform, state).save(folder / f"resumed-{rank}")


def negative_in_one_process(folder, transform):
    """Measure a layer whose outputs are negative in the first process alone."""
    result = memloc.measure_unit_mem(
        OnlyBlackIsNegative(), Shades(6), transform, n_views=2
    )
    result.save(folder / f"negative-{distributed.get_rank()}")


def few_images(folder, transform):
    """Measure one image a process, and fewer than that."""
    torch.manual_seed(0)
    options = {"n_views": 2, "num_classes": 3}
    measured = Tiny(), Unlabelled(6), transform
    enough = memloc.measure_class_mem(*measured, indices=[1, 2], **options)
    enough.save(folder / f"few-{distributed.get_rank()}")
    try:
        memloc.measure_class_mem(*measured, indices=[1], **options)
    except MemorizationError as error:
        (folder / f"too-few-{distributed.get_rank()}").write_text(str(error))


def fail_in_one_process(folder, transform):
    """Measure images one of which the second process cannot read."""
    try:
        memloc.measure_unit_mem(Tiny(), Shades(6, broken=[1]), transform, n_views=2)
    except MemorizationError as error:
        (folder / f"failed-{distributed.get_rank()}").write_text(str(error))
