"""DINO with Lightning: which units of the student are tied to single images?

lightly's DINO example on the embedded digits. It needs only one encoder and a
holdout. The member share says whether units prefer the student's training images.

    python examples/pytorch_lightning/dino.py [--smoke]
"""

import argparse
import copy

import pytorch_lightning as pl
import torch
import torchvision
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.dino_transform import DINOTransform
from lightly.utils.scheduler import cosine_schedule
from pytorch_lightning.loggers import CSVLogger
from torch import nn

import lightly_memloc as memloc
from lightly_memloc.data import Digits


class DINO(pl.LightningModule):
    def __init__(self):
        super().__init__()
        resnet = torchvision.models.resnet18()
        backbone = nn.Sequential(*list(resnet.children())[:-1])
        input_dim = 512
        self.student_backbone = backbone
        self.student_head = DINOProjectionHead(
            input_dim, 512, 64, 2048, freeze_last_layer=1
        )
        self.teacher_backbone = copy.deepcopy(backbone)
        self.teacher_head = DINOProjectionHead(input_dim, 512, 64, 2048)
        deactivate_requires_grad(self.teacher_backbone)
        deactivate_requires_grad(self.teacher_head)

        self.criterion = DINOLoss(output_dim=2048, warmup_teacher_temp_epochs=5)

    def forward(self, x):
        y = self.student_backbone(x).flatten(start_dim=1)
        z = self.student_head(y)
        return z

    def forward_teacher(self, x):
        y = self.teacher_backbone(x).flatten(start_dim=1)
        z = self.teacher_head(y)
        return z

    def training_step(self, batch, batch_idx):
        momentum = cosine_schedule(self.current_epoch, epochs, 0.996, 1)
        update_momentum(self.student_backbone, self.teacher_backbone, m=momentum)
        update_momentum(self.student_head, self.teacher_head, m=momentum)
        views = batch[0]
        global_views = views[:2]
        teacher_out = [self.forward_teacher(view) for view in global_views]
        student_out = [self.forward(view) for view in views]
        loss = self.criterion(teacher_out, student_out, epoch=self.current_epoch)
        return loss

    def on_after_backward(self):
        self.student_head.cancel_last_layer_gradients(current_epoch=self.current_epoch)

    def configure_optimizers(self):
        optim = torch.optim.Adam(self.parameters(), lr=0.001)
        return optim


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--smoke", action="store_true", help="Train one epoch on few images."
)
size, epochs, n_views = (64, 1, 2) if parser.parse_args().smoke else (200, 10, 10)

pl.seed_everything(0)
transform = DINOTransform(
    global_crop_size=32, global_crop_scale=(0.5, 1.0), local_crop_size=16
)
dataloader = torch.utils.data.DataLoader(
    torch.utils.data.Subset(Digits(transform), range(size)),
    batch_size=32,
    shuffle=True,
    drop_last=True,
)

# Added for memorisation: two callbacks, which find the student automatically.
memorization = memloc.MemorizationCallback(
    Digits(),
    transform,
    indices=range(size),
    holdout=range(size, 2 * size),
    every_n_epochs=5,
    n_views=n_views,
)
online = memloc.OnlineUnitMemCallback()

trainer = pl.Trainer(
    max_epochs=epochs,
    accelerator="auto",
    devices=1,
    enable_progress_bar=False,
    logger=CSVLogger("runs"),
    callbacks=[memorization, online],
)
trainer.fit(model=DINO(), train_dataloaders=dataloader)

unit_mem = memorization.history[-1]
print(unit_mem.layers_to_pandas()[["layer", "mean", "member_share", "member_share_p"]])
print(unit_mem.to_pandas().nlargest(10, "unit_mem"))
print(online.results[-1].layers_to_pandas()[["layer", "mean"]])
