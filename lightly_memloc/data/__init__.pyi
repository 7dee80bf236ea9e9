from .dataset import (
    filename_of,
    fingerprint,
    open_dataset,
    read_image,
    targets_of,
    unreadable_images,
)
from .digits import Digits
from .multi_view import MultiViewDataset, view_transform
from .split import ROLES, MemorizationSplit
from .study import Study

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
