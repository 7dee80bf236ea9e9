"""What was measured of a pair's encoders, by training, result and subject."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from lightly_memloc.results import load_epochs, load_result

SECONDS = "seconds.json"


@dataclass(frozen=True)
class Measured:
    """What was measured of the encoders of one number.

    Attributes:
        folder: The folder of the pairs of that number, a training each.
        subject: ``"trained"``, or the name of a control.
        loaded: Results read already, by folder.
    """

    folder: Path
    subject: str = "trained"
    loaded: dict = field(default_factory=dict, repr=False)

    def of(self, subject):
        """The same, of another subject."""
        return replace(self, subject=subject)

    def __call__(self, training, name, subject=None):
        """A result by its name; of the trained encoders, or of a control."""
        folder = self.folder / training
        subject = subject or self.subject
        if subject != "trained":
            folder = folder / "controls" / subject
        if folder / name not in self.loaded:
            self.loaded[folder / name] = load_result(folder / name)
        return self.loaded[folder / name]

    def units(self, training, subject=None):
        """UnitMem of each layer, averaged over f and g.

        f was trained on the candidates and g on the independent images, and the units
        of each are shown both. An image that wins the units of any encoder counts for
        members in one of them and against members in the other: what is left of member
        share and gap is memorisation.
        """
        f, g = (
            self(training, name, subject).layers_to_pandas()
            for name in ("unit-mem", "unit-mem-g")
        )
        columns = ["mean", "member_share", "gap"]
        return f.assign(**{name: (f[name] + g[name]) / 2 for name in columns})

    def mean_unit_mem_by_epoch(self, training):
        """Mean UnitMem over layers in each epoch of the training of f."""
        epochs = load_epochs(self.folder / training / "training/f/online_unit_mem")
        return [of.layers_to_pandas()["mean"].mean() for of in epochs]

    def seconds(self, training):
        """How long training and measuring took."""
        return json.loads((self.folder / training / SECONDS).read_text())
