"""What a measuring command measures: a run, or encoders of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from lightly_memloc.data import MemorizationSplit, Study, open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import load_encoder
from lightly_memloc.probes import ProbeTask
from lightly_memloc.training import (
    Run,
    Runs,
    TrainingConfig,
    make_model,
    make_plain_transform,
    make_transform,
)


@dataclass(frozen=True)
class Subject:
    """Encoders, images and roles to measure.

    Attributes:
        f: The encoder.
        g: The reference encoder, if there is one.
        dataset: The images.
        transform: The augmentation.
        plain_transform: The transform without augmentation.
        split: The roles of the images, if known.
        folder: The run folder, if it is a run.
        source: Else what the user gave: data, model, checkpoint and so on.
    """

    f: nn.Module
    g: nn.Module | None
    dataset: Any
    transform: Callable[[Any], Any]
    plain_transform: Callable[[Any], Any]
    split: MemorizationSplit | None
    folder: Path | None
    source: dict[str, str]

    @classmethod
    def resolve(
        cls,
        source: str,
        model: str | None = None,
        checkpoint: Path | None = None,
        reference: Path | None = None,
        split: Path | None = None,
        input_size: int | None = None,
        **loading: Any,
    ) -> "Subject":
        """Make the subject that a command's arguments describe.

        Args:
            source: A run folder, or a folder of images.
            model: The factory of an encoder of the user's own.
            checkpoint: Its weights.
            reference: Weights of the reference encoder.
            split: The roles of the images.
            input_size: Side of the square views in pixels.
            loading: How checkpoints are loaded, as in ``load_encoder``.

        Raises:
            MemorizationError: If they describe none.
        """
        if model is None:
            if Runs.is_runs(source):
                raise MemorizationError(
                    f"{source} is a folder of runs: measure all with ssl-mem, or one of "
                    f"them, such as {Path(source) / Runs(source).names[0]}."
                )
            if not Path(source).exists() and source != "digits":
                raise MemorizationError(f"There is no folder {source}.")
            if not Run.is_run(source):
                raise MemorizationError(
                    f"{source} is no run folder (it has no config.yaml). To measure an "
                    "encoder of your own on a folder of images, add --model and "
                    "--checkpoint."
                )
            run = Run(source)
            return cls(
                run.encoder("f"),
                run.encoder("g"),
                run.dataset(),
                run.transform(),
                make_plain_transform(run.config),
                run.split if split is None else MemorizationSplit.load(split),
                Path(source),
                {},
            )
        if checkpoint is None:
            raise MemorizationError(
                "--model needs --checkpoint: an encoder without trained weights has "
                "memorised nothing."
            )
        config = TrainingConfig.for_data(source, input_size=input_size)
        return cls(
            load_encoder(make_model(model), checkpoint, **loading),
            load_encoder(make_model(model), reference, **loading)
            if reference
            else None,
            open_dataset(source),
            make_transform(config),
            make_plain_transform(config),
            MemorizationSplit.load(split) if split else None,
            None,
            _described(source, model, checkpoint, reference, split, config.input_size),
        )

    def study(self, views: int, seed: int = 0) -> Study:
        """The images and their views."""
        return Study(
            self.dataset,
            self.transform,
            self.split,
            n_views=views,
            seed=seed,
            plain_transform=self.plain_transform,
        )

    def probe_task(self, batch_size: int, num_workers: int) -> ProbeTask:
        """Probes that learn from all images with a role but external, tested on those.

        Raises:
            MemorizationError: If the roles are not known, or there are no such images.
        """
        if self.split is None:
            raise MemorizationError(
                "Probes are tested on external images: give --split, which tells them."
            )
        self.split.refuse_other(self.dataset)
        return ProbeTask(
            self.dataset,
            np.union1d(self.split.trained_f, self.split.trained_g),
            self.split.external,
            self.plain_transform,
            batch_size=batch_size,
            num_workers=num_workers,
        )


def _described(data: str, model: str, checkpoint: Path, *others: Any) -> dict[str, str]:
    """What the user gave, for whoever reads the result later."""
    names = ("data", "model", "checkpoint", "reference", "split", "input_size")
    path = data if data == "digits" else str(Path(data).resolve())
    given = dict(zip(names, (path, model, checkpoint, *others), strict=True))
    return {name: str(value) for name, value in given.items() if value is not None}
