"""CIFAR-10 as one folder of images, and the roles of the images."""

import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from lightly_memloc import MemorizationSplit
from lightly_memloc.data import targets_of
from lightly_memloc.errors import MemorizationError


def unpack(archive, folder):
    """Unpack ``part/class/name`` of a ZIP file to ``images/class/part-name``.

    Training and test images form one data set, from which all roles are drawn at
    random. This makes candidates and external images exchangeable.
    """
    images, done = Path(folder) / "images", Path(folder) / "unpacked"
    if done.is_file():
        return images
    try:
        with zipfile.ZipFile(archive) as packed:
            for name in packed.namelist():
                if name.endswith("/"):
                    continue
                part, label, file = PurePosixPath(name).parts
                (images / label).mkdir(parents=True, exist_ok=True)
                (images / label / f"{part}-{file}").write_bytes(packed.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise MemorizationError(
            f"{archive} cannot be unpacked ({error}). Expected a ZIP file of images "
            "called train/<class>/<name> and test/<class>/<name>."
        ) from error
    done.touch()
    return images


class Draw:
    """Assigns images to the probes, and to the roles of each pair.

    Images are stratified by class. The roles of each pair are drawn independently,
    from all images that no probe uses.

    Args:
        dataset: The images, with classes.
        roles: Numbers of shared, candidate, independent and external images.
        probes: Numbers of images to train and to test the probes.
    """

    def __init__(self, dataset, roles, probes):
        self._targets = targets_of(dataset)
        self._roles = roles
        needed = sum(roles) + sum(probes)
        if needed > len(dataset):
            raise MemorizationError(
                f"This scale needs {needed} images, but there are only {len(dataset)}."
            )
        order = self._order(np.arange(len(dataset)), 0)
        self.probe_train, self.probe_test = _slices(order, probes)
        self._free = order[sum(probes) :]

    def split(self, pair):
        """Draw the roles of the images in a pair."""
        order = self._order(self._free, pair)
        roles = _slices(order, self._roles)
        return MemorizationSplit(len(self._targets), *roles, strata=self._targets)

    def _order(self, indices, seed):
        """Shuffle images so that any contiguous part has its share of each class."""
        drawn = np.random.default_rng(seed).permutation(indices)
        place = np.empty(len(drawn))
        for label in np.unique(self._targets[drawn]):
            of = np.flatnonzero(self._targets[drawn] == label)
            place[of] = (np.arange(len(of)) + 0.5) / len(of)
        return drawn[np.argsort(place, kind="stable")]


def _slices(order, sizes):
    ends = np.cumsum(sizes)
    return [order[end - size : end] for size, end in zip(sizes, ends, strict=True)]
