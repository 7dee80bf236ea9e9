"""Data: roles, seeded views, file names and the embedded data set."""

from lightly_memloc.data.digits import Digits
from lightly_memloc.data.filenames import filename_of
from lightly_memloc.data.fingerprint import fingerprint
from lightly_memloc.data.multi_view import (
    MultiViewDataset,
    read_image,
    view_transform,
)
from lightly_memloc.data.source import open_dataset
from lightly_memloc.data.split import ROLES, MemorizationSplit
from lightly_memloc.data.study import Study
from lightly_memloc.data.targets import targets_of
from lightly_memloc.data.unreadable import unreadable_images

__all__ = [
    "ROLES",
    "Digits",
    "MemorizationSplit",
    "MultiViewDataset",
    "Study",
    "filename_of",
    "fingerprint",
    "open_dataset",
    "read_image",
    "targets_of",
    "unreadable_images",
    "view_transform",
]
