"""The definitions: pure functions of tensors and arrays, without model or file."""

from lightly_memloc.functional.accuracy import Accuracy, accuracy
from lightly_memloc.functional.agreement import Overlap, kendall_tau, top_overlap
from lightly_memloc.functional.alignment_distance import alignment_distance
from lightly_memloc.functional.class_mem import class_mem, class_selectivity
from lightly_memloc.functional.estimate import (
    Estimate,
    contrast_estimate,
    mean_estimate,
)
from lightly_memloc.functional.layer_mem import (
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    symmetric_layer_mem,
)
from lightly_memloc.functional.member_share import MemberShareEstimate, member_share
from lightly_memloc.functional.membership import Membership, membership
from lightly_memloc.functional.ssl_mem import ssl_mem
from lightly_memloc.functional.ssl_mem_runs import RunScores, run_scores
from lightly_memloc.functional.student_mean import StudentMean, student_mean
from lightly_memloc.functional.unit_activation import unit_activation
from lightly_memloc.functional.unit_mem import selectivity, unit_mem
from lightly_memloc.functional.unit_mem_gap import unit_mem_gap
from lightly_memloc.functional.welch import welch_t_test

__all__ = [
    "Accuracy",
    "Estimate",
    "MemberShareEstimate",
    "Membership",
    "Overlap",
    "RunScores",
    "StudentMean",
    "accuracy",
    "alignment_distance",
    "alignment_gap",
    "calibrated_layer_mem",
    "class_mem",
    "class_selectivity",
    "contrast_estimate",
    "delta_layer_mem",
    "kendall_tau",
    "layer_mem",
    "mean_estimate",
    "member_share",
    "membership",
    "run_scores",
    "selectivity",
    "ssl_mem",
    "student_mean",
    "symmetric_layer_mem",
    "top_overlap",
    "unit_activation",
    "unit_mem",
    "unit_mem_gap",
    "welch_t_test",
]
