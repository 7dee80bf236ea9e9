"""Measure in two processes that a Trainer starts; the folder holds the task."""

import sys
from pathlib import Path

import torch
from pytorch_lightning import Trainer

import lightly_memloc as memloc
from lightly_memloc.data import Digits


def main(folder):
    torch.set_num_threads(1)
    encoders, split, transform = torch.load(folder / "task.pt", weights_only=False)
    evaluators = {
        "unit": memloc.UnitMemEvaluator(
            encoders[0],
            Digits(),
            transform,
            split.candidate,
            split.external,
            n_views=2,
            batch_size=4,
        ),
        "layer": memloc.LayerMemEvaluator(
            *encoders, Digits(), split, transform, n_views=2, batch_size=4
        ),
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
