"""What a measuring command measures: a run, or encoders of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lightly_memloc.data import MemorizationSplit, open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import load_encoder
from lightly_memloc.training import (
    Run,
    Runs,
    TrainingConfig,
    make_model,
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
        split: The roles of the images, if known.
        folder: The run folder, if it is a run.
    """

    f: nn.Module
    g: nn.Module | None
    dataset: Any
    transform: Callable[[Any], Any]
    split: MemorizationSplit | None
    folder: Path | None

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
                run.split if split is None else MemorizationSplit.load(split),
                Path(source),
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
            MemorizationSplit.load(split) if split else None,
            None,
        )
