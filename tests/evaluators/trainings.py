"""Small trainings in the manner of lightly's examples, for the tests of callbacks."""

import copy

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    SimCLRProjectionHead,
)
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.multi_view_transform import MultiViewTransform
from pytorch_lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

QUIET = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Views(Dataset):
    """Images as lightly gives them to a training: views, target, file name."""

    def __init__(self, dataset, indices, transform):
        self.dataset = dataset
        self.indices = list(indices)
        self.transform = MultiViewTransform([transform, transform])

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        image, target, filename = self.dataset[self.indices[index]]
        return self.transform(image), target, filename


def loader(dataset, indices, transform, batch_size=8):
    views = Views(dataset, indices, transform)
    return DataLoader(views, batch_size=batch_size, shuffle=True)


def conv_net(width=4):
    """Two convolutions with batch norm and dropout; its features are twice as wide."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.2),
        nn.Conv2d(width, 2 * width, 3, stride=2),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class SimCLR(LightningModule):
    """SimCLR; its encoder may go by another name than ``backbone``."""

    def __init__(self, name="backbone", encoder=None):
        super().__init__()
        self.name = name
        setattr(self, name, conv_net() if encoder is None else encoder)
        self.projection_head = SimCLRProjectionHead(8, 8, 4)
        self.criterion = NTXentLoss()

    @property
    def encoder_in_training(self):
        return getattr(self, self.name)

    def training_step(self, batch, batch_idx):
        one, other = (
            self.projection_head(self.encoder_in_training(view)) for view in batch[0]
        )
        loss = self.criterion(one, other)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.encoder_in_training(batch[0][0]).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


class MSN(SimCLR):
    """The names of MSN: the trained encoder is the anchor's, ``backbone`` its mean."""

    def __init__(self):
        super().__init__(name="anchor_backbone")
        self.backbone = conv_net()
        deactivate_requires_grad(self.backbone)


class BYOL(LightningModule):
    """BYOL with its momentum encoder."""

    def __init__(self):
        super().__init__()
        self.backbone = conv_net()
        self.projection_head = BYOLProjectionHead(8, 8, 4)
        self.prediction_head = BYOLPredictionHead(4, 8, 4)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)
        self.criterion = NegativeCosineSimilarity()

    def training_step(self, batch, batch_idx):
        update_momentum(self.backbone, self.backbone_momentum, m=0.9)
        update_momentum(self.projection_head, self.projection_head_momentum, m=0.9)
        predicted, target = [], []
        for view in batch[0]:
            features = self.backbone(view)
            predicted.append(self.prediction_head(self.projection_head(features)))
            with torch.no_grad():
                features = self.backbone_momentum(view)
                target.append(self.projection_head_momentum(features))
        return 0.5 * (
            self.criterion(predicted[0], target[1])
            + self.criterion(predicted[1], target[0])
        )

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def quiet_trainer(tmp_path, *callbacks, **options):
    """A Trainer without bars, loggers and checkpoints of its own."""
    defaults = {"logger": False, "default_root_dir": tmp_path}
    if not options.get("fast_dev_run"):
        defaults |= {"enable_checkpointing": False, "log_every_n_steps": 1}
    return Trainer(**QUIET | defaults | options, callbacks=list(callbacks))
