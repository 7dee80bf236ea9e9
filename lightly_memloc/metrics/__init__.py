"""The definitions as streaming torchmetrics metrics."""

from lightly_memloc.metrics.alignment_distance import AlignmentDistance
from lightly_memloc.metrics.class_mem import ClassMem
from lightly_memloc.metrics.image_features import ImageFeatures
from lightly_memloc.metrics.member_share import MemberShare
from lightly_memloc.metrics.top_images import TopImages
from lightly_memloc.metrics.unit_mem import UnitMem

__all__ = [
    "AlignmentDistance",
    "ClassMem",
    "ImageFeatures",
    "MemberShare",
    "TopImages",
    "UnitMem",
]
