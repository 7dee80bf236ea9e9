from .accuracy_change import accuracy_change
from .agreement import accuracy, kendall_tau, top_overlap
from .alignment_distance import alignment_distance
from .class_mem import class_mem, class_selectivity
from .estimate import Estimate
from .layer_mem import (
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    symmetric_layer_mem,
)
from .means import contrast_estimate, mean_estimate, student_mean, welch_t_test
from .member_share import member_share
from .membership import Membership, membership, non_members_needed
from .ssl_mem import ssl_mem
from .ssl_mem_runs import RunScores, run_scores
from .unit_activation import unit_activation
from .unit_mem import selectivity, unit_mem
from .unit_mem_gap import unit_mem_gap

__all__ = [
    "Estimate",
    "Membership",
    "RunScores",
    "accuracy",
    "accuracy_change",
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
    "non_members_needed",
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
