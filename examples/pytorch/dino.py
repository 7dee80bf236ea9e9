"""DINO in plain PyTorch: which units of the student are tied to single images?

lightly's DINO example on the embedded digits. It needs only one encoder and a
holdout. The member share says whether units prefer the student's training images.

    python examples/pytorch/dino.py [--smoke]
"""

import argparse
import copy

import torch
import torchvision
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.dino_transform import DINOTransform
from lightly.utils.scheduler import cosine_schedule
from torch import nn

import lightly_memloc as memloc
from lightly_memloc.data import Digits


class DINO(torch.nn.Module):
    def __init__(self, backbone, input_dim):
        super().__init__()
        self.student_backbone = backbone
        self.student_head = DINOProjectionHead(
            input_dim, 512, 64, 2048, freeze_last_layer=1
        )
        self.teacher_backbone = copy.deepcopy(backbone)
        self.teacher_head = DINOProjectionHead(input_dim, 512, 64, 2048)
        deactivate_requires_grad(self.teacher_backbone)
        deactivate_requires_grad(self.teacher_head)

    def forward(self, x):
        y = self.student_backbone(x).flatten(start_dim=1)
        z = self.student_head(y)
        return z

    def forward_teacher(self, x):
        y = self.teacher_backbone(x).flatten(start_dim=1)
        z = self.teacher_head(y)
        return z


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--smoke", action="store_true", help="Train one epoch on few images."
)
size, epochs, n_views = (64, 1, 2) if parser.parse_args().smoke else (200, 10, 10)

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
resnet = torchvision.models.resnet18()
model = DINO(nn.Sequential(*list(resnet.children())[:-1]), 512).to(device)
transform = DINOTransform(
    global_crop_size=32, global_crop_scale=(0.5, 1.0), local_crop_size=16
)
dataloader = torch.utils.data.DataLoader(
    torch.utils.data.Subset(Digits(transform), range(size)),
    batch_size=32,
    shuffle=True,
    drop_last=True,
)
criterion = DINOLoss(output_dim=2048, warmup_teacher_temp_epochs=5).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
tracker = memloc.OnlineUnitMem(model.student_backbone)

for epoch in range(epochs):
    total_loss = 0
    momentum_val = cosine_schedule(epoch, epochs, 0.996, 1)
    for views, _, filenames in dataloader:
        # Added for memorisation: track the training step.
        with tracker.batch(filenames):
            update_momentum(
                model.student_backbone, model.teacher_backbone, m=momentum_val
            )
            update_momentum(model.student_head, model.teacher_head, m=momentum_val)
            views = [view.to(device) for view in views]
            global_views = views[:2]
            teacher_out = [model.forward_teacher(view) for view in global_views]
            student_out = [model.forward(view) for view in views]
            loss = criterion(teacher_out, student_out, epoch=epoch)
            total_loss += loss.detach()
            loss.backward()
            # We only cancel gradients of student head.
            model.student_head.cancel_last_layer_gradients(current_epoch=epoch)
            optimizer.step()
            optimizer.zero_grad()
    last = tracker.compute().layers_to_pandas().iloc[-1]
    tracker.reset()
    avg_loss = total_loss / len(dataloader)
    print(
        f"epoch: {epoch:>02}, loss: {avg_loss:.5f}, "
        f"UnitMem of {last['layer']}: {last['mean']:.3f}"
    )

unit_mem = memloc.measure_unit_mem(
    model.student_backbone,
    Digits(),
    transform,
    range(size),
    holdout=range(size, 2 * size),
    n_views=n_views,
)
print(unit_mem.layers_to_pandas()[["layer", "mean", "member_share", "member_share_p"]])
print(unit_mem.to_pandas().nlargest(10, "unit_mem"))
