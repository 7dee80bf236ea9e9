"""Which handwritten digits did a SimCLR encoder memorise, and in which layers?

lightly's own SimCLR example, trained twice on the embedded digits, with the lines that
measure memorisation at the end.

    python examples/simclr_pair.py [--smoke]
"""

import argparse

import pytorch_lightning as pl
import torch
import torchvision
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

import lightly_memloc as memloc
from lightly_memloc.data import Digits


class SimCLR(pl.LightningModule):
    def __init__(self):
        super().__init__()
        resnet = torchvision.models.resnet18()
        self.backbone = nn.Sequential(*list(resnet.children())[:-1])
        self.projection_head = SimCLRProjectionHead(512, 512, 128)
        self.criterion = NTXentLoss()

    def forward(self, x):
        return self.projection_head(self.backbone(x).flatten(start_dim=1))

    def training_step(self, batch, batch_idx):
        (x0, x1) = batch[0]
        return self.criterion(self.forward(x0), self.forward(x1))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class Transformed(Dataset):
    def __init__(self, dataset, transform):
        self.dataset, self.transform = dataset, transform

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        image, target, filename = self.dataset[index]
        return self.transform(image), target, filename


def train(images, transform, epochs):
    model = SimCLR()
    loader = DataLoader(
        Transformed(images, transform), batch_size=64, shuffle=True, drop_last=True
    )
    trainer = pl.Trainer(max_epochs=epochs, accelerator="auto", devices=1, logger=False)
    trainer.fit(model, loader)
    return model


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--smoke", action="store_true", help="One epoch of few images.")
size, epochs = (64, 1) if parser.parse_args().smoke else (200, 20)

pl.seed_everything(0)
digits = Digits()
transform = SimCLRTransform(input_size=32, min_scale=0.5, hf_prob=0, cj_prob=0)

# Added for memorisation: give each image a role, train a second encoder without the
# candidates, and compare the two.
split = memloc.MemorizationSplit.random(
    len(digits),
    candidate=size,
    independent=size,
    external=size,
    exclude=range(4 * size, len(digits)),
)
f = train(Subset(digits, split.trained_f), transform, epochs)
g = train(Subset(digits, split.trained_g), transform, epochs)
layer_mem = memloc.measure_layer_mem(f.backbone, g.backbone, digits, split, transform)
unit_mem = memloc.measure_unit_mem(
    f.backbone, digits, transform, split.candidate, holdout=split.external
)

print(layer_mem.to_pandas()[["layer", "layer_mem", "symmetric", "symmetric_p"]])
print(layer_mem.top_samples(10))
print(unit_mem.layers_to_pandas()[["layer", "mean", "member_share", "member_share_p"]])
