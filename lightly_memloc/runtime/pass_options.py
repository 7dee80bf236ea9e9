"""Options of a pass over the images; all but precision leave the numbers unchanged."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, TypedDict, get_args

import torch

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime.bounds import refuse_outside

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]

_AUTOCAST = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


class LoadingArguments(TypedDict, total=False):
    """Keyword arguments of a measurement during training, which sets the device."""

    batch_size: int
    num_workers: int
    precision: Precision
    skip_unreadable: bool
    allow_duplicates: bool


class MeasuringArguments(LoadingArguments, total=False):
    """Keyword arguments of measurements that keep their state themselves."""

    device: str | torch.device


class PassArguments(MeasuringArguments, total=False):
    """Keyword arguments of :class:`PassOptions`, for functions that pass them on."""

    state_file: str | PathLike[str] | None


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """Options of a pass over the images, which every measurement takes as keywords.

    Attributes:
        batch_size: Images per batch and process. An encoder sees ``batch_size *
            n_views`` views at a time.
        num_workers: Worker processes that load images.
        device: ``"auto"`` or a torch device.
        precision: ``"32-true"`` runs encoders in the precision of their weights,
            ``"16-mixed"`` and ``"bf16-mixed"`` run them under autocast, as in
            Lightning. Distances and activations are accumulated in double precision in any case.
        skip_unreadable: Whether to leave out unreadable images instead of raising an
            error.
        allow_duplicates: Whether to measure identical images of different roles, with a
            warning, instead of refusing them.
        state_file: File for the state of the measurement, which is removed when the
            measurement is complete. If an interrupted measurement left the file, the
            measurement resumes and gives the same result.

    Raises:
        MemorizationError: If an option has an invalid value.
    """

    batch_size: int = 64
    num_workers: int = 0
    device: str | torch.device = "auto"
    precision: Precision = "32-true"
    skip_unreadable: bool = False
    allow_duplicates: bool = False
    state_file: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        refuse_outside("batch_size", self.batch_size, at_least=1, whole=True)
        refuse_outside("num_workers", self.num_workers, at_least=0, whole=True)
        if self.precision not in get_args(Precision):
            raise MemorizationError(
                f"Expected precision to be one of {', '.join(get_args(Precision))}, got "
                f"{self.precision!r}."
            )

    def settings(self) -> dict[str, Any]:
        """Return the options for a result's settings, without device and state file."""
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "precision": self.precision,
            "skip_unreadable": self.skip_unreadable,
        }

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context in which encoders run in the requested precision.

        Args:
            device: The device of the encoders.
        """
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(device.type, _AUTOCAST[self.precision])
