"""The measurements of a pair, by training, result and subject."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import ties  # noqa: F401
from units import read_units

from lightly_memloc.results import load_epochs, load_result

SECONDS = "times.json"
CONTROLS = ("untrained", "shuffled", "external")


@dataclass(frozen=True)
class Measured:
    """The measurements of the pairs with one number.

    Attributes:
        folder: Folder of the pairs with this number, with one folder per training.
        subject: ``"trained"``, the name of a control, or ``"under/<training>"``: trained,
            and measured with the augmentation of another training.
        loaded: Results that were already loaded, by folder.
    """

    folder: Path
    subject: str = "trained"
    loaded: dict = field(default_factory=dict, repr=False)

    def of(self, subject):
        """Return the measurements of another subject."""
        return replace(self, subject=subject)

    def __call__(self, training, name, subject=None):
        """Load a result by its name, of this subject or another."""
        folder = self.folder / training
        subject = subject or self.subject
        if subject in CONTROLS:
            folder = folder / "controls" / subject
        elif subject != "trained":
            folder = folder / subject
        if folder / name not in self.loaded:
            self.loaded[folder / name] = load_result(folder / name)
        return self.loaded[folder / name]

    def units(self, training, subject=None):
        """Return UnitMem of each layer, with the roles of f and g exchanged."""
        return read_units(lambda name: self(training, name, subject))

    def mean_unit_mem_by_epoch(self, training):
        """Compute the mean UnitMem over layers in each epoch of training f."""
        epochs = load_epochs(self.folder / training / "training/f/online_unit_mem")
        return [of.layers_to_pandas()["mean"].mean() for of in epochs]

    def seconds(self, training):
        """Return how many seconds ``training`` and ``measuring`` took, where known."""
        return json.loads((self.folder / training / SECONDS).read_text())
