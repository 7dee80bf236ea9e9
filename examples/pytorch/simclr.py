"""SimCLR in plain PyTorch: what did the encoder memorise?

lightly's SimCLR example on the embedded digits. LayerMem needs a second encoder that
is trained on other images.

    python examples/pytorch/simclr.py [--smoke]
"""

import argparse

import torch
import torchvision
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms.simclr_transform import SimCLRTransform
from torch import nn

import lightly_memloc as memloc
from lightly_memloc.data import Digits


class SimCLR(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, x):
        x = self.backbone(x).flatten(start_dim=1)
        z = self.projection_head(x)
        return z


def train(indices):
    resnet = torchvision.models.resnet18()
    model = SimCLR(nn.Sequential(*list(resnet.children())[:-1])).to(device)
    dataloader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(Digits(transform), indices),
        batch_size=64,
        shuffle=True,
        drop_last=True,
    )
    criterion = NTXentLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tracker = memloc.OnlineUnitMem(model.backbone)

    for epoch in range(epochs):
        total_loss = 0
        for (x0, x1), _, filenames in dataloader:
            # Added for memorisation: track the training step.
            with tracker.batch(filenames):
                z0 = model(x0.to(device))
                z1 = model(x1.to(device))
                loss = criterion(z0, z1)
                total_loss += loss.detach()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        unit_mem = tracker.compute().layers_to_pandas()
        tracker.reset()
        avg_loss = total_loss / len(dataloader)
        last = unit_mem.iloc[-1]
        print(
            f"epoch: {epoch:>02}, loss: {avg_loss:.5f}, "
            f"UnitMem of {last['layer']}: {last['mean']:.3f}"
        )
    return model.backbone


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--smoke", action="store_true", help="Train one epoch on few images."
)
size, epochs, views = (64, 1, 2) if parser.parse_args().smoke else (150, 12, 8)

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
transform = SimCLRTransform(input_size=32, min_scale=0.5, hf_prob=0.0, cj_prob=0.0)

# Added for memorisation: roles and a reference encoder.
split = memloc.MemorizationSplit.random(
    len(Digits()),
    candidate=size,
    independent=size,
    external=size,
    exclude=range(4 * size, len(Digits())),
)
f, g = train(split.trained_f), train(split.trained_g)
layer_mem = memloc.measure_layer_mem(f, g, Digits(), split, transform, n_views=views)
unit_mem = memloc.measure_unit_mem(
    f, Digits(), transform, split.candidate, holdout=split.external, n_views=views
)

print(layer_mem.to_pandas()[["layer", "layer_mem", "symmetric", "symmetric_p"]])
print(layer_mem.top_samples(10))
print(unit_mem.layers_to_pandas()[["layer", "mean", "member_share", "member_share_p"]])
