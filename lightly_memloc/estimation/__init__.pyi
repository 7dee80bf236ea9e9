from .analysis import analyze
from .interventions import pool_trials, summarize_trials, summarize_tuning
from .layers import estimate_layer_mem
from .membership import infer_membership
from .readings import Readings
from .runs import combine_runs
from .units import (
    holdout_estimates,
    layer_table,
    matched_share,
    top_images_table,
    unit_mem_tables,
    unit_table,
    winner_agreement,
)

__all__ = [
    "Readings",
    "analyze",
    "combine_runs",
    "estimate_layer_mem",
    "holdout_estimates",
    "infer_membership",
    "layer_table",
    "matched_share",
    "pool_trials",
    "summarize_trials",
    "summarize_tuning",
    "top_images_table",
    "unit_mem_tables",
    "unit_table",
    "winner_agreement",
]
