from .accuracy_change import accuracy_change
from .adjusted_gap import adjusted_gap
from .agreement import accuracy, kendall_tau, top_overlap
from .alignment_distance import alignment_distance
from .blind_test import blind_scores, blind_test, matched_images, matched_strata
from .class_mem import class_mem, class_selectivity
from .estimate import Estimate
from .false_discoveries import conformal_p, holm_p, n_detected, q_values
from .layer_mem import (
    alignment_gap,
    calibrated_layer_mem,
    delta_layer_mem,
    layer_mem,
    symmetric_layer_mem,
)
from .means import (
    difference_of_means,
    log_ratio_of_means,
    mean_estimate,
    student_mean,
    welch_t_test,
)
from .member_share import member_share
from .membership import Membership, membership, non_members_needed
from .moderated_mean import moderated_mean, prior_variance
from .pixel_statistics import pixel_statistics
from .reliability import run_correlation, spearman_brown, split_half_reliability
from .residual_scores import residual_scores
from .ssl_mem import ssl_mem
from .ssl_mem_runs import RunScores, cross_fitted_mean, run_scores, top_scores
from .unit_activation import unit_activation
from .unit_mem import selectivity, unit_mem
from .unit_mem_gap import unit_mem_gap

__all__ = [
    "Estimate",
    "Membership",
    "RunScores",
    "accuracy",
    "accuracy_change",
    "adjusted_gap",
    "alignment_distance",
    "alignment_gap",
    "blind_scores",
    "blind_test",
    "calibrated_layer_mem",
    "class_mem",
    "class_selectivity",
    "conformal_p",
    "cross_fitted_mean",
    "delta_layer_mem",
    "difference_of_means",
    "holm_p",
    "kendall_tau",
    "layer_mem",
    "log_ratio_of_means",
    "matched_images",
    "matched_strata",
    "mean_estimate",
    "member_share",
    "membership",
    "moderated_mean",
    "n_detected",
    "non_members_needed",
    "pixel_statistics",
    "prior_variance",
    "q_values",
    "residual_scores",
    "run_correlation",
    "run_scores",
    "selectivity",
    "spearman_brown",
    "split_half_reliability",
    "ssl_mem",
    "student_mean",
    "symmetric_layer_mem",
    "top_overlap",
    "top_scores",
    "unit_activation",
    "unit_mem",
    "unit_mem_gap",
    "welch_t_test",
]
