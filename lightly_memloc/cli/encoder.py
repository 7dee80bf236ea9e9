"""Which encoder a command measures: that of a run, or a custom one."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lightly_memloc.cli.images import ImagesGroup
from lightly_memloc.cli.options import finite
from lightly_memloc.errors import MemorizationError

if TYPE_CHECKING:
    from torch import nn

    from lightly_memloc.data import Study
    from lightly_memloc.results import Result
    from lightly_memloc.runtime import LoadedEncoder
    from lightly_memloc.training import Run

R = TypeVar("R", bound="Result")

_PANEL = "Custom encoder (instead of a run folder)"

Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FACTORY",
        rich_help_panel=_PANEL,
        help="Function without arguments that builds the encoder, such as "
        "torchvision.models:resnet18.",
    ),
]


@dataclass(frozen=True)
class EncoderGroup(ImagesGroup):
    """An encoder, its checkpoint, and the roles of the images."""

    model: Model = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_PANEL, help="File with the encoder's weights (state_dict)."
        ),
    ] = None
    prefix: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PANEL,
            help="Prefix of the encoder's weights in the checkpoint (for example "
            "`student_backbone.`). \\[default: detected]",
        ),
    ] = None
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            rich_help_panel=_PANEL,
            help="Load matching weights; warn about the rest.",
        ),
    ] = False
    partial_share: Annotated[
        float,
        typer.Option(
            callback=finite,
            rich_help_panel=_PANEL,
            help="Share of the encoder's tensors that --allow-partial asks for.",
        ),
    ] = 0.9
    trust_checkpoint: Annotated[
        bool,
        typer.Option(
            "--trust-checkpoint",
            rich_help_panel=_PANEL,
            help="Load a checkpoint that contains more than tensors. This can run code "
            "from the file.",
        ),
    ] = False

    def require_split(self, command: str) -> None:
        """Refuse a custom encoder without held-out images; a run has its own.

        Raises:
            MemorizationError: If there is none.
        """
        if self.model is not None and not self.has_holdout:
            raise MemorizationError(
                f"{command} needs to know which images the encoder was trained on and "
                "which it was not: give --members and --holdout, or one folder or list "
                "and --split, a file written by `split`."
            )

    def resolve(
        self, source: str | None, n_views: int = 10, seed: int = 0
    ) -> "Subject":
        """Load the encoders, and make the study of their images.

        Args:
            source: A run folder; for a custom encoder, a folder or a list of images,
                unless --members is given.
            n_views: Views per image.
            seed: Random seed.

        Raises:
            MemorizationError: If the source is not what the options require, or a
                checkpoint does not fit the encoder.
        """
        if self.model is None:
            return self._of_run(source, n_views, seed)
        if self.checkpoint is None:
            raise MemorizationError(
                "--model needs --checkpoint: an encoder without trained weights has "
                "memorised nothing."
            )
        reference = self._reference()
        f = self._load(self.model, self.checkpoint)
        study, given = self.study(source, f.encoder, n_views, seed)
        g = None if reference is None else self._load(self.model, reference)
        loaded = {
            "model": self.model,
            "checkpoint": self.checkpoint,
            "reference": reference,
        }
        named = {name: str(of) for name, of in loaded.items() if of is not None}
        return Subject(
            f.encoder,
            None if g is None else g.encoder,
            study,
            None,
            given | named,
            notes=[of for one in (f, g) if one is not None for of in _lacking(one)],
        )

    def _of_run(self, source: str | None, n_views: int, seed: int) -> "Subject":
        from lightly_memloc.data import MemorizationSplit

        self.refuse_for_run()
        if source is None:
            raise MemorizationError(
                "Give a run folder; or a custom encoder with --model and --checkpoint, "
                "and its images with --members and --holdout."
            )
        run = _run(source, self.data)
        study = run.study(n_views=n_views, seed=seed)
        own: dict[str, str] = {}
        if self.split is not None:
            study = replace(study, split=MemorizationSplit.load(self.split))
            own = {"split": str(self.split)}
        return Subject(
            run.encoder("f"), run.encoder("g"), study, run.folder, own, self.data
        )

    def _reference(self) -> Path | None:
        return None

    def _load(self, model: str, checkpoint: Path) -> "LoadedEncoder":
        from lightly_memloc.runtime import load_weights
        from lightly_memloc.training import make_model

        return load_weights(
            make_model(model),
            checkpoint,
            prefix=self.prefix,
            allow_partial=self.partial_share if self.allow_partial else False,
            trust_checkpoint=self.trust_checkpoint,
        )


@dataclass(frozen=True)
class PairGroup(EncoderGroup):
    """An encoder and, if given, the encoder that it is compared with."""

    reference: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_PANEL,
            help="Weights of a reference encoder that was trained without the "
            "candidates.",
        ),
    ] = None

    def _reference(self) -> Path | None:
        return self.reference


@dataclass(frozen=True)
class Subject:
    """Encoders to measure, and the study of their images.

    Attributes:
        f: The encoder.
        g: The reference encoder, if there is one.
        study: The images, their roles and views.
        folder: The run folder, if it is a run.
        source: What the user gave: for a custom encoder data, model, checkpoint, ...;
            for a run a split other than its own.
        data: Where the images of a run are now, if they were moved.
        notes: What limits what results can say.
    """

    f: "nn.Module"
    g: "nn.Module | None"
    study: "Study"
    folder: Path | None
    source: dict[str, str]
    data: str | None = None
    notes: list[str] = field(default_factory=list)

    def named(self, result: R) -> R:
        """Return a result whose settings say which encoder and images it is of."""
        from lightly_memloc.training import fingerprints_of

        settings = dict(result.settings)
        if "fingerprints" not in settings:
            settings["fingerprints"] = fingerprints_of(self.f, self.g, self.study)
        if self.source:
            settings["source"] = self.source
        if self.notes:
            settings["notes"] = [*settings.get("notes", []), *self.notes]
        return replace(result, settings=settings)


def _lacking(loaded: "LoadedEncoder") -> list[str]:
    """What to remember of an encoder that a checkpoint has in part."""
    if not loaded.missing:
        return []
    return [
        f"The checkpoint has {loaded.share:.0%} of the encoder's tensors. The others kept "
        f"their initial values: {', '.join(loaded.missing)}."
    ]


def _run(folder: str, data: str | None) -> "Run":
    """Open a run folder, and refuse anything else with the way out."""
    from lightly_memloc.training import Run, Runs

    if Runs.is_runs(folder):
        raise MemorizationError(
            f"{folder} is a folder of runs. Measure all of them with ssl-mem, or one of "
            f"them, such as {Path(folder) / Runs(folder).names[0]}."
        )
    if not Path(folder).exists() and folder != "digits":
        raise MemorizationError(f"There is no folder {folder}.")
    if not Run.is_run(folder):
        raise MemorizationError(
            f"{folder} is not a run folder: it contains no config.yaml. To measure a "
            "custom encoder on a folder or a list of images, add --model and --checkpoint."
        )
    return Run(folder, data)
