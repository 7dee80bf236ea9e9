"""Which encoder a command measures: that of a run, or a custom one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lightly_memloc.cli.subject import Subject

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
class EncoderGroup:
    """An encoder with its checkpoint, and the roles of the images."""

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
    trust_checkpoint: Annotated[
        bool,
        typer.Option(
            "--trust-checkpoint",
            rich_help_panel=_PANEL,
            help="Load a checkpoint that contains more than tensors. This can run code "
            "from the file.",
        ),
    ] = False
    split: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_PANEL,
            help="File with the roles of the images, written by `split`.",
        ),
    ] = None
    input_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=_PANEL,
            help="Side of the square views in pixels. \\[default: 32; for digits 16]",
        ),
    ] = None

    def resolve(self, source: str, reference: Path | None = None) -> "Subject":
        """Load what is measured."""
        from lightly_memloc.cli.subject import Subject

        return Subject.resolve(
            source,
            self.model,
            self.checkpoint,
            reference,
            self.split,
            self.input_size,
            prefix=self.prefix,
            allow_partial=self.allow_partial,
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

    def resolve(self, source: str, reference: Path | None = None) -> "Subject":
        """Load what is measured, with its reference."""
        return super().resolve(source, reference or self.reference)
