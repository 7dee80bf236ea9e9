"""MAE with differential privacy: DP-SGD by Opacus."""

import torch
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import nn

from lightly_memloc.training.methods.mae import MAE


class PrivateMAE(MAE):
    """MAE whose gradients are clipped image by image and made noisy.

    MAE's loss is a mean over images that share nothing, as DP-SGD needs; that of a
    contrastive method is not. Class token, mask token and position embeddings stay as
    they were drawn: they are parameters of no layer of their own.
    """

    name = "private_mae"
    noise_multiplier = 5.06
    max_grad_norm = 1.0
    batch_size = 64

    def make_heads(self):
        super().make_heads()
        for module in self.modules():
            if any(module.children()):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(False)

    def configure_optimizers(self):
        configured = super().configure_optimizers()
        layers = nn.ModuleList(self.children())
        GradSampleModule(layers, strict=False, loss_reduction="mean")
        private = DPOptimizer(
            configured["optimizer"],
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=self.max_grad_norm,
            expected_batch_size=self.batch_size,
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(private, self.epochs)
        return {"optimizer": private, "lr_scheduler": schedule}
