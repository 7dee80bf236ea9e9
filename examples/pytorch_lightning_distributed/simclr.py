"""Distributed SimCLR with Lightning: what does the encoder memorise during training?

lightly's SimCLR example on the embedded digits. LayerMem needs a second encoder that
is trained on other images. This encoder is trained first.

Two processes train and measure. Each process takes its share of the images, and the
numbers are the same as with one process.

    python examples/pytorch_lightning_distributed/simclr.py [--smoke]
"""

import argparse

import pytorch_lightning as pl
import torch
import torchvision
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms.simclr_transform import SimCLRTransform
from pytorch_lightning.loggers import CSVLogger
from torch import nn

import lightly_memloc as memloc
from lightly_memloc.data import Digits


class SimCLR(pl.LightningModule):
    def __init__(self):
        super().__init__()
        resnet = torchvision.models.resnet18()
        self.backbone = nn.Sequential(*list(resnet.children())[:-1])
        self.projection_head = SimCLRProjectionHead(512, 2048, 2048)
        self.criterion = NTXentLoss(gather_distributed=True)

    def forward(self, x):
        x = self.backbone(x).flatten(start_dim=1)
        z = self.projection_head(x)
        return z

    def training_step(self, batch, batch_index):
        (x0, x1) = batch[0]
        z0 = self.forward(x0)
        z1 = self.forward(x1)
        loss = self.criterion(z0, z1)
        return loss

    def configure_optimizers(self):
        optim = torch.optim.AdamW(self.parameters(), lr=1e-3)
        return optim


def train(indices, callbacks=()):
    model = SimCLR()
    dataloader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(Digits(transform), indices),
        batch_size=32,
        shuffle=True,
        drop_last=True,
    )
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=torch.cuda.device_count() or 2,
        strategy="ddp",
        use_distributed_sampler=True,
        enable_progress_bar=False,
        logger=CSVLogger("runs"),
        callbacks=callbacks,
    )
    trainer.fit(model=model, train_dataloaders=dataloader)
    return model


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--smoke", action="store_true", help="Train one epoch on few images."
)
size, epochs, views = (64, 1, 2) if parser.parse_args().smoke else (150, 12, 8)

pl.seed_everything(0)
transform = SimCLRTransform(input_size=32, min_scale=0.5, hf_prob=0.0, cj_prob=0.0)

# Added for memorisation: roles, the reference encoder and two callbacks.
split = memloc.MemorizationSplit.random(
    len(Digits()),
    candidate=size,
    independent=size,
    external=size,
    exclude=range(4 * size, len(Digits())),
)
reference = train(split.trained_g)
memorization = memloc.MemorizationCallback(
    Digits(),
    transform,
    split=split,
    reference=reference.backbone,
    every_n_epochs=6,
    n_views=views,
)
online = memloc.OnlineUnitMemCallback()
train(split.trained_f, [memorization, online])

unit_mem, layer_mem = memorization.history[-2:]
print(layer_mem.to_pandas()[["layer", "layer_mem", "symmetric", "symmetric_p"]])
print(layer_mem.top_samples(10))
print(unit_mem.layers_to_pandas()[["layer", "mean", "member_share", "member_share_p"]])
print(online.results[-1].layers_to_pandas()[["layer", "mean"]])
