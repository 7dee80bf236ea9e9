"""Training: methods, backbones, pairs of encoders and run folders."""

from lightly_memloc.training.backbones import make_backbone
from lightly_memloc.training.config import TrainingConfig, mixed_precision
from lightly_memloc.training.encoder import TrainedEncoder
from lightly_memloc.training.factory import make_model
from lightly_memloc.training.methods import Method, method_class
from lightly_memloc.training.pair import make_transform, train_pair
from lightly_memloc.training.resnet9 import ResNet9
from lightly_memloc.training.run import Run

__all__ = [
    "Method",
    "ResNet9",
    "Run",
    "TrainedEncoder",
    "TrainingConfig",
    "make_backbone",
    "make_model",
    "make_transform",
    "method_class",
    "mixed_precision",
    "train_pair",
]
