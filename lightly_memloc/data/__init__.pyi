from .contents import Contents, changed_images, sampled_digests
from .dataset import (
    filename_of,
    fingerprint,
    groups_of,
    open_dataset,
    read_image,
    targets_of,
    unreadable_images,
)
from .digits import Digits
from .duplicates import (
    Duplicate,
    DuplicateSearch,
    find_duplicates,
    refuse_duplicates,
)
from .image_list import ImageList, read_groups
from .indices import are_indices, image_indices
from .multi_view import MultiViewDataset, described, view_transform
from .signature import Signature, pixel_digest, signature_of
from .split import ROLES, MemorizationSplit
from .study import Study

__all__ = [
    "ROLES",
    "Contents",
    "Digits",
    "Duplicate",
    "DuplicateSearch",
    "ImageList",
    "MemorizationSplit",
    "MultiViewDataset",
    "Signature",
    "Study",
    "are_indices",
    "changed_images",
    "described",
    "filename_of",
    "find_duplicates",
    "fingerprint",
    "groups_of",
    "image_indices",
    "open_dataset",
    "pixel_digest",
    "read_groups",
    "read_image",
    "refuse_duplicates",
    "sampled_digests",
    "signature_of",
    "targets_of",
    "unreadable_images",
    "view_transform",
]
