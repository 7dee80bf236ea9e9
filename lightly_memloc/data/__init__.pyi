from .digits import Digits
from .filenames import filename_of
from .fingerprint import fingerprint
from .multi_view import MultiViewDataset, read_image, view_transform
from .source import open_dataset
from .split import ROLES, MemorizationSplit
from .study import Study
from .targets import targets_of
from .unreadable import unreadable_images

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
