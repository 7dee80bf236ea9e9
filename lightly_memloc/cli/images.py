"""Which images a command measures, in which roles, and what views the encoder sees."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightly_memloc.cli.options import MovedData
from lightly_memloc.errors import MemorizationError

if TYPE_CHECKING:
    from torch import nn

    from lightly_memloc.data import Study

IMAGES_PANEL = "Images and views of a custom encoder"


@dataclass(frozen=True)
class ImagesGroup:
    """The images of a custom encoder, their roles and their views."""

    members: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=IMAGES_PANEL,
            help="Images that the encoder was trained on: a folder, or a .txt, .csv or "
            ".jsonl file that lists image files.",
        ),
    ] = None
    holdout: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=IMAGES_PANEL,
            help="Images of the same kind that it never saw: a folder or a list.",
        ),
    ] = None
    split: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=IMAGES_PANEL,
            help="Instead of --members and --holdout: a file with the roles of the "
            "images of one folder or list, written by `split`.",
        ),
    ] = None
    transform: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|MODULE:FACTORY",
            rich_help_panel=IMAGES_PANEL,
            help="The augmentation of the encoder's training: simclr, moco, byol, "
            "simsiam, barlow_twins, vicreg, dino, mae, supervised or center-crop; or a "
            "function of yours that makes a transform.",
        ),
    ] = None
    input_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=IMAGES_PANEL,
            help="Side of the square views in pixels. \\[default: the model's own if it "
            "states one, else 224; for digits 16]",
        ),
    ] = None
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|MEAN,STD",
            rich_help_panel=IMAGES_PANEL,
            help="Normalization of the views: imagenet, none, or mean and standard "
            "deviation. \\[default: the model's own if it states one, else imagenet; for "
            "digits none]",
        ),
    ] = None
    data: MovedData = None

    @property
    def has_holdout(self) -> bool:
        """Whether the roles of the images are given."""
        return self.split is not None or None not in (self.members, self.holdout)

    def study(
        self,
        source: str | None,
        model: "nn.Module | None",
        n_views: int = 10,
        seed: int = 0,
    ) -> "tuple[Study, dict[str, str]]":
        """Make the study of a custom encoder's images.

        Args:
            source: A folder or a list of images, unless --members is given.
            model: The encoder, which may state its own preprocessing.
            n_views: Views per image.
            seed: Random seed.

        Returns:
            The study, and what it was made of, for whoever reads the result later.

        Raises:
            MemorizationError: If images or transform are not given as they should be.
        """
        from lightly_memloc.data import MemorizationSplit, Study
        from lightly_memloc.training import make_plain_transform, make_views

        images = self._images(source)
        config = self._config(images, model)
        study = Study(
            images,
            make_views(self._transform(), config),
            None if self.split is None else MemorizationSplit.load(self.split),
            holdout=self.holdout,
            n_views=n_views,
            seed=seed,
            plain_transform=make_plain_transform(config),
        )
        given = {
            "data": None if self.members else _place(images),
            "members": _place(self.members),
            "holdout": _place(self.holdout),
            "split": self.split,
            "transform": self.transform,
            "input_size": config.input_size,
            "normalize": _written(config.transform.get("normalize", "imagenet")),
        }
        return study, {name: str(of) for name, of in given.items() if of is not None}

    def refuse_for_run(self) -> None:
        """Refuse options that are for a custom encoder: a run has its own.

        Raises:
            MemorizationError: If any is given.
        """
        for name in ("members", "holdout", "transform", "input_size", "normalize"):
            if getattr(self, name) is not None:
                raise MemorizationError(
                    f"--{name.replace('_', '-')} is for a custom encoder: add --model "
                    "and --checkpoint. A run has its own images and views."
                )

    def _images(self, source: str | None) -> str:
        if self.data is not None:
            raise MemorizationError(
                "--data says where the images of a run are now. With --model, the images "
                "are the argument itself, or --members and --holdout."
            )
        if source is not None and self.members is not None:
            raise MemorizationError(
                f"The images are given twice: {source} and --members {self.members}."
            )
        if self.holdout is not None and self.members is None:
            raise MemorizationError(
                "--holdout needs --members: the images that the encoder was trained on."
            )
        if self.members is not None and self.split is not None:
            raise MemorizationError(
                "--split says which images of one folder are held out. Give either "
                "--split, or --members and --holdout."
            )
        images = source or self.members
        if images is None:
            raise MemorizationError(
                "Say which images to measure: --members PATH --holdout PATH, or one "
                "folder or list with --split."
            )
        return images

    def _transform(self) -> str:
        if self.transform is None:
            from lightly_memloc.training import view_names

            raise MemorizationError(
                "Say with --transform how the encoder's training made views of an image: "
                "memorisation shows under this augmentation, and another gives other "
                f"numbers. Expected one of {', '.join(view_names())}; or "
                "package.module:factory, a function that makes the transform."
            )
        return self.transform

    def _config(self, images: str, model: "nn.Module | None") -> Any:
        from lightly_memloc.training import (
            TrainingConfig,
            normalization,
            own_preprocessing,
        )

        own = {} if model is None else own_preprocessing(model)
        is_own = images == "digits"
        size = self.input_size or own.get("input_size") or (None if is_own else 224)
        settings: dict[str, Any] = {}
        if self.normalize is not None:
            settings["normalize"] = normalization(self.normalize)
        elif "normalize" in own:
            settings["normalize"] = own["normalize"]
        return TrainingConfig.for_data(images, input_size=size, transform=settings)


def _place(path: str | None) -> str | None:
    return path if path in (None, "digits") else str(Path(path).resolve())


def _written(normalize: Any) -> str:
    """A normalization as --normalize takes it."""
    if not isinstance(normalize, dict):
        return str(normalize or "none")
    return ",".join(f"{of:g}" for of in (*normalize["mean"], *normalize["std"]))
