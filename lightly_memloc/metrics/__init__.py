"""The definitions as streaming torchmetrics metrics."""

from lightly_memloc.metrics.alignment_distance import (
    AlignmentDistance,
    AlignmentDistanceValues,
)
from lightly_memloc.metrics.class_mem import ClassMem, ClassMemValues
from lightly_memloc.metrics.member_share import MemberShare, MemberShareValues
from lightly_memloc.metrics.top_images import TopImages, TopImagesValues
from lightly_memloc.metrics.unit_mem import UnitMem, UnitMemValues

__all__ = [
    "AlignmentDistance",
    "AlignmentDistanceValues",
    "ClassMem",
    "ClassMemValues",
    "MemberShare",
    "MemberShareValues",
    "TopImages",
    "TopImagesValues",
    "UnitMem",
    "UnitMemValues",
]
