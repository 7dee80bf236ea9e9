"""Training: methods, backbones, pairs of encoders and run folders."""

from lightly_memloc.training.backbones import ResNet9, make_backbone, make_model
from lightly_memloc.training.changes import (
    changed_in_words,
    changes_since,
    fingerprints_of,
    refuse_changed,
)
from lightly_memloc.training.config import (
    TrainingConfig,
    make_plain_transform,
    make_transform,
    mixed_precision,
)
from lightly_memloc.training.measure_runs import measure_ssl_mem_runs
from lightly_memloc.training.methods import Method, method_class
from lightly_memloc.training.pair import TrainedEncoder, train_pair
from lightly_memloc.training.run import Run
from lightly_memloc.training.runs import Runs, train_runs
from lightly_memloc.training.views import (
    make_views,
    normalization,
    own_preprocessing,
    view_names,
)

__all__ = [
    "Method",
    "ResNet9",
    "Run",
    "Runs",
    "TrainedEncoder",
    "TrainingConfig",
    "changed_in_words",
    "changes_since",
    "fingerprints_of",
    "make_backbone",
    "make_model",
    "make_plain_transform",
    "make_transform",
    "make_views",
    "measure_ssl_mem_runs",
    "method_class",
    "mixed_precision",
    "normalization",
    "own_preprocessing",
    "refuse_changed",
    "train_pair",
    "train_runs",
    "view_names",
]
