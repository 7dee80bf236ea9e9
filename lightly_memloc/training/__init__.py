"""Training: methods, backbones, pairs of encoders and run folders."""

from lightly_memloc.training.backbones import BACKBONES, ResNet9, make_backbone
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.methods import Method, SimCLR, method_class
from lightly_memloc.training.pair import TrainedEncoder, make_transform, train_pair
from lightly_memloc.training.run import Run

__all__ = [
    "BACKBONES",
    "Method",
    "ResNet9",
    "Run",
    "SimCLR",
    "TrainedEncoder",
    "TrainingConfig",
    "make_backbone",
    "make_transform",
    "method_class",
    "train_pair",
]
