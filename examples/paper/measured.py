"""The measurements of a pair, by training, result and subject."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from lightly_memloc.results import load_epochs, load_result

SECONDS = "seconds.json"


@dataclass(frozen=True)
class Measured:
    """The measurements of the pairs with one number.

    Attributes:
        folder: Folder of the pairs with this number, with one folder per training.
        subject: ``"trained"``, or the name of a control.
        loaded: Results that were already loaded, by folder.
    """

    folder: Path
    subject: str = "trained"
    loaded: dict = field(default_factory=dict, repr=False)

    def of(self, subject):
        """Return the measurements of another subject."""
        return replace(self, subject=subject)

    def __call__(self, training, name, subject=None):
        """Load a result by its name, for the trained encoders or a control."""
        folder = self.folder / training
        subject = subject or self.subject
        if subject != "trained":
            folder = folder / "controls" / subject
        if folder / name not in self.loaded:
            self.loaded[folder / name] = load_result(folder / name)
        return self.loaded[folder / name]

    def units(self, training, subject=None):
        """Compute UnitMem of each layer, averaged over f and g.

        f was trained on the candidates and g on the independent images. Both are
        measured on both sets. An image that wins units of any encoder counts for
        members in one encoder and against members in the other. What remains in member
        share and gap is memorisation.
        """
        f, g = (
            self(training, name, subject).layers_to_pandas()
            for name in ("unit-mem", "unit-mem-g")
        )
        columns = ["mean", "member_share", "gap"]
        return f.assign(**{name: (f[name] + g[name]) / 2 for name in columns})

    def mean_unit_mem_by_epoch(self, training):
        """Compute the mean UnitMem over layers in each epoch of training f."""
        epochs = load_epochs(self.folder / training / "training/f/online_unit_mem")
        return [of.layers_to_pandas()["mean"].mean() for of in epochs]

    def seconds(self, training):
        """Return how many seconds training and measuring took."""
        return json.loads((self.folder / training / SECONDS).read_text())
