"""What was measured of a pair's encoders, by training, result and subject."""

from lightly_memloc.results import load_epochs, load_result


class Measured:
    """What was measured of the encoders of one number.

    Args:
        folder: The folder of the pairs of that number, a training each.
        subject: ``"trained"``, or the name of a control.
    """

    def __init__(self, folder, subject="trained"):
        self._folder = folder
        self._subject = subject

    def __call__(self, training, name, subject=None):
        """A result by its name; of the trained encoders, or of a control."""
        of = self._folder / training
        subject = subject or self._subject
        if subject != "trained":
            of = of / "controls" / subject
        return load_result(of / name)

    def mean_unit_mem_by_epoch(self, training):
        """Mean UnitMem over layers in each epoch of the training of f."""
        epochs = load_epochs(self._folder / training / "training/f/online_unit_mem")
        return [of.layers_to_pandas()["mean"].mean() for of in epochs]
