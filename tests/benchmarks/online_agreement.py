"""How well UnitMem followed during training agrees with UnitMem measured after it.

    python tests/benchmarks/online_agreement.py

SimCLR trains a small ResNet-9 on 400 digits, for 2 and for 40 epochs. UnitMem of the
last epoch, from training's own forward passes, stands beside UnitMem of the same images
measured with the weights at the epoch's end, ten views, in evaluation mode. Over the
units of each layer: Spearman's rank correlation, both means, and the share of units
that name the same image.
"""

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from lightly.transforms import SimCLRTransform
from rich import box
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Subset

import lightly_memloc as memloc
from lightly_memloc.data import Digits
from lightly_memloc.training import make_backbone, method_class


def agreement(
    n_images: int, epochs: int, backbone: str = "resnet9-slim", batch_size: int = 100
) -> pd.DataFrame:
    """A row a layer: rank correlation, means, and share of units with one winner."""
    pl.seed_everything(0)
    transform = SimCLRTransform(input_size=16, min_scale=0.5, hf_prob=0, cj_prob=0)
    encoder = make_backbone(backbone, 16)
    with torch.no_grad():
        n_features = encoder(torch.rand(2, 3, 16, 16)).flatten(1).shape[1]
    online = memloc.OnlineUnitMemCallback()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[online],
    )
    images = Subset(Digits(transform), range(n_images))
    loader = DataLoader(images, batch_size, shuffle=True, drop_last=True)
    method = method_class("simclr")
    trainer.fit(method(encoder, n_features, epochs, 2e-3), loader)
    measured = memloc.measure_unit_mem(encoder, Digits(), transform, range(n_images))
    units = (
        online.results[-1]
        .to_pandas()
        .merge(
            measured.to_pandas(),
            on=["layer", "unit"],
            suffixes=("_online", "_measured"),
        )
    )
    by_layer = units.groupby("layer", sort=False)
    return pd.DataFrame(
        {
            "correlation": by_layer.apply(
                lambda rows: rows["unit_mem_online"].corr(
                    rows["unit_mem_measured"], method="spearman"
                )
            ),
            "online": by_layer["unit_mem_online"].mean(),
            "measured": by_layer["unit_mem_measured"].mean(),
            "same image": by_layer.apply(
                lambda rows: np.mean(rows["index_online"] == rows["index_measured"])
            ),
        }
    )


def main() -> None:
    """Run and print."""
    for epochs in (2, 40):
        table = Table(
            box=box.ASCII2, title=f"UnitMem of epoch {epochs}: followed and measured"
        )
        for column in ("layer", "correlation", "online", "measured", "same image"):
            table.add_column(column)
        for layer, row in agreement(400, epochs).iterrows():
            table.add_row(str(layer), *(f"{value:.2f}" for value in row))
        Console(width=88).print(table)


if __name__ == "__main__":
    main()
