"""Train with both callbacks, in two processes or in one; the folder holds the task."""

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Subset

import lightly_memloc as memloc
from lightly_memloc.data import Digits


class Still(pl.LightningModule):
    """A module whose weights training leaves as they are."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def training_step(self, batch, batch_idx):
        x0, x1 = batch[0]
        return (self.backbone(x0) - self.backbone(x1)).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Views(Dataset):
    """Two views of each image, the same ones whenever they are drawn."""

    def __init__(self, images, transform):
        self.views = memloc.MultiViewDataset(images, transform, n_views=2)

    def __len__(self):
        return len(self.views)

    def __getitem__(self, index):
        views, target, filename = self.views[index]
        return list(views), target, filename


def main(folder, n_processes):
    torch.set_num_threads(1)
    (f, g), split, transform = torch.load(folder / "task.pt", weights_only=False)
    callbacks = [
        memloc.MemorizationCallback(
            Digits(),
            transform,
            reference=g,
            split=split,
            n_views=2,
            batch_size=4,
        ),
        memloc.OnlineUnitMemCallback(),
    ]
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=n_processes,
        strategy="ddp" if n_processes > 1 else "auto",
        logger=False,
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=callbacks,
    )
    images = Subset(Digits(), split.candidate)
    loader = DataLoader(Views(images, transform), batch_size=3, shuffle=True)
    trainer.fit(Still(f), loader)
    rank = trainer.global_rank
    for number, result in enumerate(callbacks[0].history):
        result.save(folder / f"measured-{number}-{rank}")
    callbacks[1].results[0].save(folder / f"online-{n_processes}-{rank}")
    if rank == 0:
        torch.save(f.state_dict(), folder / "f.pt")
